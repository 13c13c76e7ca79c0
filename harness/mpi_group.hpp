#pragma once

#include <mpi.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "core/comm.hpp"
#include "harness/mpi_wire.hpp"

namespace wb {

/// The ranks of an MPI communicator. `largest_count`: elements given to one MPI call at most; longer buffers go in
/// several. `at_end` is called when the group is gone and has released `wires`: it frees the communicator, or MPI.
std::unique_ptr<Comm> mpi_group(MPI_Comm comm, std::shared_ptr<const Wires> wires, std::int64_t largest_count,
                                std::function<void()> at_end);

}  // namespace wb
