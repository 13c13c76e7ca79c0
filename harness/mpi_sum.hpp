#pragma once

#include <mpi.h>

#include <cstdint>
#include <memory>

#include "core/comm.hpp"
#include "harness/mpi_wire.hpp"

namespace wb {

/// `count` elements of `size` bytes of this rank, and where their sums go: the same memory, or apart from it.
/// `largest_count`: elements given to one MPI call at most.
struct SumBuffers {
    const void* in;
    void* out;
    std::int64_t count, size, largest_count;
};

/// Begins a sum over the ranks of `comm`. Every rank is sent its share of the elements by all others, adds them up in
/// the order of the ranks, and sends the sums to all: what the reduce-scatter and allgather of Rabenseifner (ICCS 2004)
/// move, in two rounds. MPI_Iallreduce would add in an order that depends on the length. `number`: the same on all
/// ranks, another for each sum under way at once.
std::unique_ptr<Pending> start_ordered_sum(MPI_Comm comm, const Wire& wire, const SumBuffers& buffers, int number);

}  // namespace wb
