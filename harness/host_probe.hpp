#pragma once

#include <string>

namespace wb {

/// Describes this machine as a system file (TOML, kind = "host"): topology by hwloc, instruction sets by cpuid; clock,
/// multiply-add units and bandwidths measured with `cpus` OpenMP threads, each on a CPU of its own. Peaks and
/// bandwidths are the best seen, so they serve as upper bounds. About 4 s and at most 1 GiB of memory.
/// `date` goes into the sources as it is. Throws Error (Exit::environment) if the process may use fewer than `cpus`.
std::string probe_host(int cpus, const std::string& date);

}  // namespace wb
