#pragma once

#include <vector>

#include "core/backend.hpp"
#include "core/measurement.hpp"

namespace wb {

/// What one rank used, for merge_ranks().
std::vector<double> numbers_of(const ResourceUse& use);

/// Sets what all ranks used: sums of work, bytes and calls, extremes of times and of what was held. `m` has one rank's
/// uses, `ranks` every rank's numbers. False if they are not about the same things; `m` is then as it was.
bool merge_ranks(const std::vector<std::vector<double>>& ranks, Measurement& m);

}  // namespace wb
