#pragma once

#include <string>

#include "core/comm.hpp"
#include "core/system.hpp"

namespace wb {

// What this machine reaches with the libraries it has, as lines for the block [measured] of its system file. Each
// figure is the best of several tries.

/// Matrix products by the measured backends, for every element type they take: gemm_f32 and so on. `host` is what the
/// probe found; all of `threads` take part. Some seconds.
std::string product_rates(const System& host, int threads);

/// One stream to and from a new file in `folder`: written and synced, read after the kernel has dropped it from its
/// caches where it does so. Nothing where the folder cannot be written. About 1 s and 256 MB of disk.
std::string storage_rates(const std::string& folder);

/// Messages between neighbours on a ring of all ranks, all at once: of 8 bytes, and of a size that suits. Collective;
/// the same text on all ranks; empty for one rank.
std::string message_rates(Comm& comm, const std::string& date);

}  // namespace wb
