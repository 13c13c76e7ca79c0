#pragma once

#include <cstdint>

#include "core/partition.hpp"

namespace wb {

/// The part of `graph` that `rank` of mapping.tensor * mapping.data ranks computes; those that share one model are
/// neighbours. One rank: the graph itself, with nothing added. Throws Error for what cannot be shared so.
Partition part_of(const Graph& graph, const Mapping& mapping, int rank);

/// Where the elements of a local piece lie in the whole tensor: runs of `run` elements, `stride` apart, from `first`.
struct GlobalIndex {
    std::int64_t first = 0, run = 1, stride = 1;

    std::int64_t operator()(std::int64_t i) const { return first + i / run * stride + i % run; }
};
GlobalIndex global_index(const Shape& local, const Partition::Piece& piece, const Shape& whole);

/// Work of `local` that other ranks do as well.
Flops repeated_work(const Graph& local);

}  // namespace wb
