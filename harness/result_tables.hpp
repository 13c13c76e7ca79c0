#pragma once

#include <vector>

#include "harness/result.hpp"
#include "harness/table.hpp"

namespace wb {

using MakeTable = Table (*)(const ResultSet& set);

/// The tables of a results file, in the order they are written. One at a time, because they are large.
std::vector<MakeTable> result_tables();
/// The tables of composed workloads' phases, which are among them.
std::vector<MakeTable> phase_tables();

/// Where the cells of a heat map lie.
std::string heat_map_path(std::int64_t case_id, const Grid& grid);

}  // namespace wb
