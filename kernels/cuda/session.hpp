#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/backend.hpp"
#include "core/fusion.hpp"
#include "core/part.hpp"
#include "core/player.hpp"
#include "kernels/cuda/runner.hpp"
#include "kernels/cuda/storage.hpp"
#include "kernels/cuda/telemetry.hpp"

namespace wb::cuda {

/// Words for Mapping::algorithm.
inline constexpr std::string_view cold = "cold";  ///< the L2 cache is overwritten before every run
inline constexpr std::string_view unrecorded =
    "stream";  ///< every kernel is launched from the host, nothing is recorded
inline constexpr std::string_view separate = "separate";  ///< no op is computed in the epilogue of a product
inline constexpr std::string_view by_mpi = "mpi";  ///< ranks speak by an MPI that takes device memory, not by NCCL

/// One rank's program on one device: every op of every block bound to its memory, played from recordings (CUDA graphs)
/// phase by phase where there are many.
class CudaSession final : public Player {
public:
    /// Collective over `comm`, which must outlive this as `pool` must. Uses device `index`. With a pool, weights and
    /// states are its own, and not filled here, and caches may lack tokens.
    CudaSession(const Case& c, Comm& comm, int index, Pool* pool = nullptr);

    using Player::run;
    /// Elapsed time is between two events on the device, what `before_update` takes included.
    Sample run(const std::function<void()>& before_update) override;
    std::optional<Outputs> outputs() override { return gathered(true); }
    std::optional<Outputs> declared_outputs() override { return gathered(false); }
    void poison() override;
    ResourceUse usage() const override;

    void at_step(std::int64_t done) override { steps_.at(done, queue_.stream()); }
    void lack(std::int64_t tokens) override;  // played.cpp, with all that follows
    void put(std::string_view name, std::span<const std::int32_t> whole) override;
    std::vector<float> losses() const override;
    std::vector<BestToken> best_tokens(const TokenChoice& choice, std::int64_t number,
                                       std::int64_t sequences) const override;
    std::vector<CommUse> communication() const override;
    std::string first_nonfinite() override;

private:
    /// Blocks that follow each other under one name.
    struct Stretch {
        std::string phase;
        std::size_t first, last;  // blocks [first, last)
        std::unique_ptr<Recording> recording;
    };

    void make_runners(const std::function<const Setup&(std::size_t op)>& setup_of);
    void bind();
    void execute(std::size_t block);
    void execute(const Stretch& stretch);
    void overwrite_cache() const;
    std::optional<Outputs> gathered(bool with_changed) const;
    std::vector<double> values(TensorId local, std::int64_t iteration) const;
    std::string detail() const;

    std::shared_ptr<const Graph> whole_;
    Comm& comm_;
    const Mapping mapping_;
    const Device device_;
    Partition part_;
    Queue queue_;
    std::unique_ptr<Products> products_;
    std::unique_ptr<Comm> model_, replicas_;  // of this rank, where there are both
    std::unique_ptr<Collectives> collectives_, among_replicas_;
    Scratch scratch_;
    Steps steps_;
    Memory missing_;              // one number: tokens that caches lack
    mutable Memory best_, keys_;  // of the tokens to choose
    std::unique_ptr<DeviceStorage> storage_;
    Memory cache_filler_;
    FusedOps fused_;
    std::vector<Runner> runners_;               // by local op
    std::vector<std::vector<TensorId>> reads_;  // by local op: what its runner is given; nothing if another computes it
    std::vector<void*> operands_;               // block by block, iteration by iteration, op by op
    std::vector<std::size_t> block_operands_, op_operands_, iteration_operands_;
    std::vector<Stretch> stretches_;
    std::vector<Event> events_;  // before the first stretch, and after each
    std::int64_t executions_ = 0, runs_ = 0;
    double busy_s_ = 0;
    Telemetry telemetry_;
};

}  // namespace wb::cuda
