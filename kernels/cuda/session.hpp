#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/backend.hpp"
#include "core/part.hpp"
#include "kernels/cuda/runner.hpp"
#include "kernels/cuda/storage.hpp"
#include "kernels/cuda/telemetry.hpp"

namespace wb::cuda {

/// Words for Mapping::algorithm.
inline constexpr std::string_view cold = "cold";  ///< the L2 cache is overwritten before every run
inline constexpr std::string_view unrecorded =
    "stream";  ///< every kernel is launched from the host, nothing is recorded

/// One rank's program on one device: every op of every block bound to its memory, played from recordings (CUDA graphs)
/// phase by phase where there are many.
class CudaSession final : public Session {
public:
    /// Collective over `comm`, which must outlive this. Uses device `index`.
    CudaSession(const Case& c, Comm& comm, int index);

    /// Elapsed time is between two events on the device.
    Sample run() override;
    std::optional<Outputs> outputs() override { return gathered(true); }
    std::optional<Outputs> declared_outputs() override { return gathered(false); }
    void poison() override;
    ResourceUse usage() const override;

private:
    /// Blocks that follow each other under one name.
    struct Stretch {
        std::string phase;
        std::size_t first, last;  // blocks [first, last)
        std::unique_ptr<Recording> recording;
    };

    void bind();
    void execute(std::size_t block);
    void execute(const Stretch& stretch);
    void overwrite_cache() const;
    std::optional<Outputs> gathered(bool with_changed) const;
    std::vector<CommUse> communication() const;
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
    std::unique_ptr<DeviceStorage> storage_;
    Memory cache_filler_;
    std::vector<Runner> runners_;  // by local op
    std::vector<void*> operands_;  // block by block, iteration by iteration, op by op: in, then out
    std::vector<std::size_t> block_operands_, op_operands_, iteration_operands_;
    std::vector<Stretch> stretches_;
    std::vector<Event> events_;  // before the first stretch, and after each
    std::int64_t executions_ = 0, runs_ = 0;
    double busy_s_ = 0;
    Telemetry telemetry_;
};

}  // namespace wb::cuda
