#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/backend.hpp"
#include "core/gather.hpp"
#include "core/part.hpp"
#include "kernels/cpu/buckets.hpp"
#include "kernels/cpu/runner.hpp"
#include "kernels/cpu/storage.hpp"

namespace wb::cpu {

/// Memory this process has held at most.
Bytes peak_resident();

/// One rank's program: every op of every block bound to its memory.
class CpuSession final : public Session {
public:
    /// Collective over `comm`, which must outlive this as `pool` must. `threads` >= 1. With a pool, weights and states
    /// are its own, and not filled here.
    CpuSession(const Case& c, Comm& comm, int threads, Pool* pool = nullptr);

    Sample run() override { return run(nullptr); }
    /// `before_update` is called, if given, when all gradients are known and no weight is changed yet.
    Sample run(const std::function<void()>& before_update);
    std::optional<Outputs> outputs() override { return gathered(true); }
    std::optional<Outputs> declared_outputs() override { return gathered(false); }
    void poison() override { storage_->poison(); }
    ResourceUse usage() const override;

    /// From the next run on, a span for every execution of an op: two clock reads each, so not for results.
    void time_ops(bool on) { time_ops_ = on; }
    const Graph& local() const { return part_.local; }
    /// The optimizer goes on as after `done` runs.
    void at_step(std::int64_t done) { step_ = done; }
    /// Caches hold `tokens` tokens fewer of each sequence than the graph says, from the next run on: its caches have
    /// room for all, and the token at hand stands that much earlier.
    void lack(std::int64_t tokens) { missing_ = tokens; }
    /// This rank's rows of an input of 32-bit integers, from the whole of it. Nothing if the graph has none so named.
    void put(std::string_view name, std::span<const std::int32_t> whole);
    /// This rank's losses of the last run, one a token; empty without a loss.
    std::span<const float> losses() const;
    /// This rank's part of the output matrix [sequences, vocabulary] of the last run.
    struct Logits {
        const std::byte* values;
        DType dtype;
        std::int64_t rows, columns, first_row, first_column;
    };
    Logits logits() const;
    /// Of the last run; this backend never computes while it communicates.
    std::vector<CommUse> communication() const;
    /// Repeats all before the update op by op (collective) and names the first tensor this rank sees that has a value
    /// that is no number; empty if there is none.
    std::string first_nonfinite();

private:
    using Clock = std::chrono::steady_clock;
    struct Call {
        int op;
        Clock::time_point start, end;
    };

    void bind();
    void bind_buckets();
    template <bool timed>
    void execute(const Block& block);
    Sample sample(Clock::time_point start) const;
    Span span(int op, const std::string& phase, Seconds from, Seconds duration) const;
    std::string nonfinite_output(const Block& block, std::int64_t iteration, int op) const;
    std::optional<Outputs> gathered(bool with_changed) const;

    std::shared_ptr<const Graph> whole_;
    Comm& comm_;
    int threads_;
    Mapping mapping_;
    Partition part_;
    std::unique_ptr<Comm> model_, replicas_;  // of this rank, where there are both
    std::unique_ptr<Storage> storage_;
    Scratch scratch_;
    Buckets buckets_;  // the sums of gradients that data parallelism needs
    std::int64_t step_ = 0, missing_ = 0;
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
