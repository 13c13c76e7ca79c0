#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/memory_plan.hpp"
#include "core/part.hpp"
#include "core/storage.hpp"
#include "kernels/cuda/runtime.hpp"

namespace wb::cuda {

constexpr std::int64_t place_alignment = 256;

/// Weights and states that the graphs of a composition share: the same name, shape and type are the same memory.
class Pool {
public:
    /// Allocates at the first call; every other must lie on the ranks in the same way.
    std::byte* at(const Tensor& local, const Partition::Piece& piece, const Graph& whole,
                  const MemoryPlan::Place& place);
    /// Every entry from its fill, as at the start of a run.
    void fill(std::uint64_t seed, int rank, Stream stream) const;
    /// A copy of all of it on the host, and what became of that copy back on the device.
    std::vector<StoredPiece> copied(Stream stream);
    void put_back(Stream stream);
    /// Bytes held of one role.
    Bytes bytes(Role role) const;

private:
    struct Entry {
        Tensor tensor;  ///< as this rank holds it
        Partition::Piece piece;
        Shape whole;
        MemoryPlan::Place place;
        Memory memory;
        std::vector<std::byte> copy;
    };
    std::map<std::string, Entry> entries_;
};

/// The device memory of one rank: every tensor that exists before a run has memory of its own, the others share one
/// arena by lifetime.
class DeviceStorage {
public:
    /// Allocates all of `plan` and fills inputs, weights and states by their global indices. `graph` must outlive this.
    /// Weights and states are those of `pool`, where one is given, and filled by it.
    DeviceStorage(const Graph& graph, const std::vector<Partition::Piece>& pieces, const Graph& whole, MemoryPlan plan,
                  std::uint64_t seed, int rank, Stream stream, Pool* pool = nullptr);

    /// The values `id` means in an iteration of its block.
    std::byte* at(TensorId id, std::int64_t iteration) const;
    const MemoryPlan& plan() const { return plan_; }
    /// Puts NaN into all activations and outputs.
    void poison(Stream stream) const { set_bytes(arena_.data(), 0xff, arena_.bytes(), stream); }

private:
    const Graph& graph_;
    MemoryPlan plan_;
    Memory arena_;
    std::vector<Memory> own_;       // by tensor
    std::vector<std::byte*> base_;  // by tensor: of its own, or of the pool
};

}  // namespace wb::cuda
