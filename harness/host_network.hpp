#pragma once

#include <map>
#include <memory>
#include <string>

#include "core/comm.hpp"
#include "core/system.hpp"
#include "core/workload.hpp"
#include "harness/loggp_fit.hpp"

namespace wb {

/// The MPI ranks of this machine as a cluster ("host-network"), a rank a unit: what `waferbench network` measured with
/// as many ranks as this job has, or with the fewest if this process is alone. systems/host-network.toml of the user
/// wins. Collective: rank 0 decides. Throws Error (Exit::environment) if nothing was measured.
std::shared_ptr<const System> host_network(const Files& files, Comm& comm,
                                           const std::map<std::string, std::string>& choices);

/// Where the figures of so many ranks are stored, beside those of the host.
std::string host_network_file(int ranks);

/// The system file. `host` lends its peaks, a share to each rank. `busy`: why the times are of something else than
/// messages; stands in the source of every number. Empty if nothing speaks against them.
std::string host_network_toml(const NetworkFigures& figures, const LogGP& fit, const System& host,
                              const std::string& date, const std::string& busy = "");

/// What is stored of this host's network, for people: a paragraph for each number of ranks; empty if nothing is.
std::string host_network_text();

}  // namespace wb
