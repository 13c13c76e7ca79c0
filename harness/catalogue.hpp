#pragma once

#include <string>

#include "harness/plan.hpp"
#include "harness/show.hpp"

namespace wb {

/// `list [what]`: workloads, backends, systems, models, experiments.
std::string list_text(const std::string& what, const Files& files, Format format, bool colour);

/// `describe NAME`: what a system has, with the source of every number; what a workload, model or backend needs and
/// does. Throws Error with a suggestion for an unknown name.
std::string describe_text(const std::string& name, const Files& files, const SystemLoader& load, Format format,
                          bool colour);

/// `plan`: every case with its work, memory and expected time; runs nothing.
std::string plan_text(const std::vector<PlannedCase>& plan, int ranks, Format format, bool colour);

/// Expected seconds of a case, all its samples together.
double expected_s(const PlannedCase& planned);

/// What the tensors of a case take on all its units together.
Bytes expected_memory(const PlannedCase& planned);

}  // namespace wb
