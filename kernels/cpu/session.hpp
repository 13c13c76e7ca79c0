#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "core/backend.hpp"
#include "core/partition.hpp"
#include "kernels/cpu/runner.hpp"
#include "kernels/cpu/storage.hpp"

namespace wb::cpu {

/// The part of `graph` that `rank` of mapping.tensor ranks computes. One rank: the graph itself, with nothing added.
Partition part_of(const Graph& graph, const Mapping& mapping, int rank);

/// One rank's program: every op of every block bound to its memory.
class CpuSession final : public Session {
public:
    /// Collective over `comm`, which must outlive this. `threads` >= 1.
    CpuSession(const Case& c, Comm& comm, int threads);

    Sample run() override;
    std::optional<Outputs> outputs() override { return gathered(true); }
    std::optional<Outputs> declared_outputs() override { return gathered(false); }
    void poison() override { storage_->poison(); }
    ResourceUse usage() const override;

    /// From the next run on, a span for every execution of an op: two clock reads each, so not for results.
    void time_ops(bool on) { time_ops_ = on; }
    const Graph& local() const { return part_.local; }

private:
    using Clock = std::chrono::steady_clock;
    struct Call {
        int op;
        Clock::time_point start, end;
    };

    void bind();
    template <bool timed>
    void execute(const Block& block);
    Sample sample(Clock::time_point start) const;
    Span span(int op, const std::string& phase, Seconds from, Seconds duration) const;
    std::vector<CommUse> communication() const;
    std::optional<Outputs> gathered(bool with_changed) const;
    std::optional<Output> gathered(TensorId whole, TensorId local, std::int64_t instance) const;

    std::shared_ptr<const Graph> whole_;
    Comm& comm_;
    int threads_;
    Mapping mapping_;
    Partition part_;
    std::unique_ptr<Storage> storage_;
    Scratch scratch_;
    std::int64_t step_ = 0;
    std::vector<Runner> runners_;                  // by local op
    std::vector<void*> operands_;                  // block by block, iteration by iteration, op by op: in, then out
    std::vector<std::size_t> block_operands_;      // where each block begins in it
    std::vector<std::size_t> op_operands_;         // where each op begins within an iteration of its block
    std::vector<std::size_t> iteration_operands_;  // by block: operands of one iteration
    std::vector<Clock::time_point> block_end_;
    std::vector<Call> calls_;  // collectives of the last run; all ops if timed
    bool time_ops_ = false;
};

}  // namespace wb::cpu
