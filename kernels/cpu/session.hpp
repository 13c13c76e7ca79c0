#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/backend.hpp"
#include "core/counted_comm.hpp"
#include "core/gather.hpp"
#include "core/part.hpp"
#include "core/player.hpp"
#include "kernels/cpu/buckets.hpp"
#include "kernels/cpu/overlap.hpp"
#include "kernels/cpu/runner.hpp"
#include "kernels/cpu/sliced_sum.hpp"
#include "kernels/cpu/storage.hpp"

namespace wb::cpu {

/// What this process has held at most, and how much of what it holds lies in huge pages.
std::vector<MemoryUse> process_memory();

/// Words for Mapping::algorithm that say how sums over the ranks of one model are taken: each waited for at once, or
/// all in slices beside the computation. Without a word: as is faster, found by trial.
std::vector<std::string> sum_words();

/// One rank's program: every op of every block bound to its memory.
class CpuSession final : public Player {
public:
    /// Collective over `comm`, which must outlive this as `pool` must. `threads` >= 1. With a pool, weights and states
    /// are its own, and not filled here.
    CpuSession(const Case& c, Comm& comm, int threads, Pool* pool = nullptr);

    using Player::run;
    Sample run(const std::function<void()>& before_update) override;
    std::optional<Outputs> outputs() override { return gathered(true); }
    std::optional<Outputs> declared_outputs() override { return gathered(false); }
    void poison() override { storage_->poison(); }
    ResourceUse usage() const override;

    /// From the next run on, a span for every execution of an op: two clock reads each, so not for results.
    void time_ops(bool on) { time_ops_ = on; }
    const Graph& local() const { return part_.local; }
    void at_step(std::int64_t done) override { step_ = done; }
    void lack(std::int64_t tokens) override { missing_ = tokens; }
    void put(std::string_view name, std::span<const std::int32_t> whole) override;
    std::vector<float> losses() const override;
    std::vector<BestToken> best_tokens(const TokenChoice& choice, std::int64_t number,
                                       std::int64_t sequences) const override;
    std::vector<CommUse> communication() const override;
    std::string first_nonfinite() override;

private:
    using Clock = std::chrono::steady_clock;
    struct Call {
        int op;
        Clock::time_point start, end;
    };

    void bind();
    void bind_buckets();
    void bind_sums();
    /// Collective: each sum the way that is fastest, the slowest rank's time counting.
    void choose_ways();
    double trial(const Overlap& o, SlicedSum& sum);
    void* const* operands(const Block& block, std::int64_t k, int op) const;
    void finish(const Step& step);
    template <bool timed>
    void execute(const Block& block);
    Sample sample(Clock::time_point start) const;
    Span span(int op, const std::string& phase, Seconds from, Seconds duration) const;
    std::optional<Outputs> gathered(bool with_changed) const;

    std::shared_ptr<const Graph> whole_;
    Comm& comm_;
    CommLedger ledger_;  // of the last run
    std::unique_ptr<Comm> counted_;
    int threads_;
    Mapping mapping_;
    Partition part_;
    OverlapPlan plan_;
    std::unique_ptr<Comm> model_, replicas_;  // of this rank, where there are both
    std::unique_ptr<Storage> storage_;
    Scratch scratch_;
    Buckets buckets_;  // the sums of gradients that data parallelism needs
    std::int64_t step_ = 0, missing_ = 0;
    std::vector<Runner> runners_;                   // by local op
    std::vector<std::unique_ptr<SlicedSum>> sums_;  // by entry of plan_.sums
    std::vector<SlicedSum*> under_way_;
    std::vector<bool> sum_of_;                     // by local op: one of sums_
    std::vector<void*> operands_;                  // block by block, iteration by iteration, op by op: in, then out
    std::vector<std::size_t> block_operands_;      // where each block begins in it
    std::vector<std::size_t> op_operands_;         // where each op begins within an iteration of its block
    std::vector<std::size_t> iteration_operands_;  // by block: operands of one iteration
    std::vector<Clock::time_point> block_end_;
    std::vector<Call> calls_;  // collectives of the last run; all ops if timed
    bool time_ops_ = false;
};

}  // namespace wb::cpu
