#pragma once

#include <cstdint>
#include <memory>

#include "core/comm.hpp"

namespace wb {

/// All ranks this process was started with: MPI where a launcher (mpirun, srun) started it, otherwise
/// `single_process()` without touching MPI, so that a plain `waferbench` starts at once. MPI is finalised by the
/// destructor; hold one only, and only the thread that called this may use it. Catch and print errors while it is
/// alive: destroyed by an exception that other ranks do not share, it ends the whole job after a few seconds instead of
/// waiting for ever. `largest_count`: elements given to one MPI call at most (its counts are int); longer buffers go in
/// several calls. Throws Error if the launcher's ranks cannot be joined: built without MPI, or for another MPI than the
/// launcher's.
std::unique_ptr<Comm> world(int& argc, char**& argv, std::int64_t largest_count = std::int64_t{1} << 30);

/// Ranks of the job on this machine, this one included; 1 without MPI. Collective over all ranks of `world`.
int ranks_on_node();

}  // namespace wb
