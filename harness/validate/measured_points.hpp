#pragma once

#include <string>
#include <vector>

#include "harness/validate/point.hpp"

namespace wb {

/// Whether a path names a file of `waferbench run`, by its ending.
bool is_results_file(const std::string& path);

/// The measured cases of a results file or a journal whose system is one of `systems`, as points of the groups
/// "run-SYSTEM-WORKLOAD": models are asked the very same case. A case has the same id in every file. Throws Error if
/// there is none.
std::vector<Point> measured_points(const std::string& path, const std::vector<std::string>& systems);

/// What a run measured on each system and is kept with the program: measured-SYSTEM.h5 of results/baseline, beside the
/// folders of configurations.
std::vector<std::string> kept_measurements(const std::vector<std::string>& config_folders);

}  // namespace wb
