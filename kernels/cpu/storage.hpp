#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/memory_plan.hpp"
#include "core/part.hpp"
#include "core/storage.hpp"

namespace wb::cpu {

/// Bytes of memory on cache-line boundaries; large ones ask for huge pages (core/huge_pages.hpp). Pages are nobody's
/// until they are written: whoever writes them first has them near.
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

/// Weights and states that the graphs of a composition share: the same name, shape and type are the same memory.
class Pool {
public:
    struct Entry {
        Tensor tensor;  ///< as this rank holds it
        Partition::Piece piece;
        Shape whole;
        std::int64_t slots = 1, stride = 0;
        Buffer memory;
    };
    /// Allocates at the first call; every other must lie on the ranks in the same way.
    std::byte* at(const Tensor& local, const Partition::Piece& piece, const Graph& whole,
                  const MemoryPlan::Place& place);
    /// Every entry from its fill, as at the start of a run.
    void fill(std::uint64_t seed, int rank, int threads) const;
    std::vector<StoredPiece> pieces() const;
    /// Bytes held of one role.
    Bytes bytes(Role role) const;

private:
    std::map<std::string, Entry> entries_;
};

/// The memory of one rank: every tensor that exists before a run has a buffer of its own, the others share one arena.
class Storage {
public:
    /// Allocates all of `plan` and fills inputs, weights and states by their global indices. `graph` must outlive this.
    /// Weights and states are those of `pool`, where one is given, and filled by it.
    Storage(const Graph& graph, const std::vector<Partition::Piece>& pieces, const Graph& whole, MemoryPlan plan,
            std::uint64_t seed, int rank, int threads, Pool* pool = nullptr);

    /// The values `id` means in an iteration of its block.
    std::byte* at(TensorId id, std::int64_t iteration) const;
    const MemoryPlan& plan() const { return plan_; }
    /// Puts NaN into all activations and outputs.
    void poison() const;

private:
    const Graph& graph_;
    MemoryPlan plan_;
    Buffer arena_;
    std::vector<Buffer> own_;       // by tensor
    std::vector<std::byte*> base_;  // by tensor: of its own, or of the pool
    int threads_;
};

}  // namespace wb::cpu
