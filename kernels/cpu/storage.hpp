#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/memory_plan.hpp"
#include "core/partition.hpp"

namespace wb::cpu {

/// Bytes of memory on cache-line boundaries; large ones ask for huge pages.
class Buffer {
public:
    Buffer() = default;
    explicit Buffer(std::int64_t bytes);

    std::byte* data() const { return data_.get(); }
    std::int64_t bytes() const { return bytes_; }
    /// Every byte set by `threads` threads, which thereby get the pages near them.
    void fill(unsigned char value, int threads) const;

private:
    struct Free {
        void operator()(std::byte* p) const;
    };
    std::unique_ptr<std::byte[], Free> data_;
    std::int64_t bytes_ = 0;
};

/// The memory of one rank: every tensor that exists before a run has a buffer of its own, the others share one arena.
class Storage {
public:
    /// Allocates all of `plan` and fills inputs, weights and states by their global indices. `graph` must outlive this.
    Storage(const Graph& graph, const std::vector<Partition::Piece>& pieces, const Graph& whole, MemoryPlan plan,
            std::uint64_t seed, int rank, int threads);

    /// The values `id` means in an iteration of its block.
    std::byte* at(TensorId id, std::int64_t iteration) const;
    const MemoryPlan& plan() const { return plan_; }
    /// Puts NaN into all activations and outputs.
    void poison() const;

private:
    const Graph& graph_;
    MemoryPlan plan_;
    Buffer arena_;
    std::vector<Buffer> own_;  // by tensor
    int threads_;
};

}  // namespace wb::cpu
