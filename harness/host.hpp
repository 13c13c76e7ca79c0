#pragma once

#include <memory>
#include <string>

#include "core/comm.hpp"
#include "core/system.hpp"
#include "core/workload.hpp"

namespace wb {

/// This machine as a system. configs/systems/host.toml of the user wins; else what was measured here before and stored
/// in the user's cache folder; else it is measured now (some ten seconds) and stored with its date. What messages
/// between several ranks reach is measured and stored apart, for each number of them. Collective: rank 0 decides.
std::shared_ptr<const System> host_system(const Files& files, Comm& comm,
                                          const std::map<std::string, std::string>& choices,
                                          bool measure_again = false);

/// Where the description is stored: one file for each host name and number of CPUs.
std::string host_cache_file(int cpus);

/// CPUs of this node that the job may use: those of all its ranks together.
int job_cpus(Comm& comm);

/// Body of the hidden verb `probe`: prints this machine's description.
int probe_main(int cpus);

}  // namespace wb
