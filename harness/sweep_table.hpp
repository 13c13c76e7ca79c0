#pragma once

#include <string>

#include "harness/show.hpp"

namespace wb {

/// How time changes along one parameter of a workload, machines side by side: a column for each value of a parameter
/// that takes three or more while all others stay, a row for each system. Empty if there is no such parameter.
std::string show_sweeps(const ResultSet& set, Format format, bool colour, const std::string& filter = "");

}  // namespace wb
