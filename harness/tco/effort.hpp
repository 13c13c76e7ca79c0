#pragma once

#include <string>

namespace wb::tco {

/// Lines of an experiment, without blank ones and comments: what it takes to say what is run. A proxy that can be
/// counted, and no hours of anybody.
struct ExperimentLines {
    int workloads = 0;  ///< of its [[workload]] tables, shared by all systems
    int system = 0;     ///< of the [[system]] tables of one system
};
ExperimentLines lines_of(const std::string& experiment_toml, const std::string& system);

}  // namespace wb::tco
