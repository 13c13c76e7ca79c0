#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/memory_plan.hpp"
#include "core/part.hpp"
#include "kernels/cuda/runtime.hpp"

namespace wb::cuda {

constexpr std::int64_t place_alignment = 256;

/// The device memory of one rank: every tensor that exists before a run has memory of its own, the others share one
/// arena by lifetime.
class DeviceStorage {
public:
    /// Allocates all of `plan` and fills inputs, weights and states by their global indices. `graph` must outlive this.
    DeviceStorage(const Graph& graph, const std::vector<Partition::Piece>& pieces, const Graph& whole, MemoryPlan plan,
                  std::uint64_t seed, int rank, Stream stream);

    /// The values `id` means in an iteration of its block.
    std::byte* at(TensorId id, std::int64_t iteration) const;
    const MemoryPlan& plan() const { return plan_; }
    /// Puts NaN into all activations and outputs.
    void poison(Stream stream) const { set_bytes(arena_.data(), 0xff, arena_.bytes(), stream); }

private:
    const Graph& graph_;
    MemoryPlan plan_;
    Memory arena_;
    std::vector<Memory> own_;  // by tensor
};

/// Device memory one rank needs for the tensors of `graph`, or of the phase that needs most.
double memory_needed(const Graph& graph, const Mapping& mapping, int rank);

}  // namespace wb::cuda
