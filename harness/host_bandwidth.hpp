#pragma once

#include <algorithm>

#include "harness/pinned_team.hpp"

namespace wb {

/// B/s of all threads together; copy counts 2 arrays, triad 3, as STREAM does.
struct Bandwidths {
    double read = 0, copy = 0, triad = 0;
    double array_bytes = 0;  ///< of one array, all threads together
    double best() const { return std::max({read, copy, triad}); }
};

/// Of a level of cache: its arrays fill half of `bytes`, the level's capacity over all instances in use.
Bandwidths cache_bandwidths(const PinnedTeam& team, double bytes);
/// Of what lies behind all caches; three arrays together take at most 1 GiB and a quarter of `free_bytes`. Throws Error
/// (Exit::environment) where there is not enough memory.
Bandwidths memory_bandwidths(const PinnedTeam& team, double free_bytes);

/// Seconds from the start of a parallel region that does nothing to its end: what every call of a kernel pays.
double parallel_launch_s(const PinnedTeam& team);

}  // namespace wb
