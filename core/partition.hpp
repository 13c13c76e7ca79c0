#pragma once

#include <cstdint>
#include <vector>

#include "core/graph.hpp"
#include "core/mapping.hpp"

namespace wb {

/// How one tensor of the whole graph lies on the ranks.
struct Layout {
    enum class Kind : std::uint8_t {
        replicated,  ///< every rank holds all of it
        sharded,     ///< rank r holds a contiguous range of `dim`
        partial,     ///< every rank holds a summand; the sum over ranks is the tensor
        own          ///< every rank has a tensor of its own (buffers of bare collectives)
    } kind = Kind::replicated;
    int dim = 0;
    bool operator==(const Layout&) const = default;
};

/// Range [first, first + count) of `extent` that `rank` of `ranks` holds; ranges differ by at most one `granule`.
struct Range {
    std::int64_t first, count;
};
Range shard(std::int64_t extent, int rank, int ranks, std::int64_t granule = 1);

/// One rank's part of a workload: a graph of local ops and collectives in the order they run. The same parts are
/// executed by the CPU, costed by the cluster model and played by its emulation.
struct Partition {
    Graph local;
    struct Piece {
        TensorId whole;  ///< tensor of the whole graph this is (a part of)
        Layout layout;
        std::int64_t first = 0;      ///< of the sharded dimension
        std::int64_t first_row = 0;  ///< of dimension 0, where columns are cut and the batch is shared too
    };
    std::vector<Piece> pieces;              ///< by local tensor; whole = -1 for those the partition added
    std::vector<bool> among_replicas = {};  ///< by op, if part_of() made it: a collective of those that hold the same
                                            ///< weights, not of one model's
};

/// Tensor parallelism (Shoeybi et al. 2019) derived from the graph: weights are cut by output features, the next ones
/// by input features, tables by rows, attention by heads, bare operators by rows or heads; one allreduce where a
/// partial sum is needed whole. Work that cannot be cut is repeated on every rank and says so in Attributes::share.
/// Error when a dimension that must be cut is smaller than the number of ranks.
/// Needs mapping.units() == mapping.tensor.
Partition partition(const Graph& g, const Mapping& mapping, int rank);

/// What the ranks of `mapping` hand to collectives in one run, all together: arithmetic on the partition.
Bytes communication_bytes(const Graph& local);

}  // namespace wb
