#pragma once

#include <cstdint>
#include <vector>

#include "core/graph.hpp"
#include "core/mapping.hpp"
#include "core/partition.hpp"

namespace wb::cpu {

/// Where one rank's part of a tensor lies: cut as the layout says, and by rows as well where the columns are cut and
/// the batch is shared too.
struct Piece : Partition::Piece {
    std::int64_t first_row = 0;
};

/// What one rank computes.
struct Part {
    Graph local;
    std::vector<Piece> pieces;         ///< by local tensor, as in Partition
    std::vector<bool> among_replicas;  ///< by op: a collective of those that hold the same weights, not of one model's
};

/// The part of `graph` that `rank` of mapping.tensor * mapping.data ranks computes; those that share one model are
/// neighbours. One rank: the graph itself, with nothing added. Throws Error for what cannot be shared so.
Part part_of(const Graph& graph, const Mapping& mapping, int rank);

/// Work of `local` that other ranks do as well.
Flops repeated_work(const Graph& local);

}  // namespace wb::cpu
