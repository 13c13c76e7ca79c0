#pragma once

#include <string>
#include <vector>

#include "core/workload.hpp"
#include "harness/validate/point.hpp"

namespace wb {

/// The first line of every file of points.
inline constexpr const char* point_columns = "id,system,workload,params,metric,value,unit,group,quality,source,locator";

/// Reads one file of published measurements. Throws Error at file:line for a wrong header or number of columns, an
/// unknown system, workload, metric, unit or quality, a value that is no finite positive number, and params that are
/// not key=value;key=value.
std::vector<Point> read_points(const std::string& path, const std::vector<std::string>& systems);

/// All of configs/validation/*.csv (every folder of configurations), then the files of `more`; a later file's row
/// replaces an earlier file's of the same id. With `only_more` the shipped ones are left out.
std::vector<Point> read_all_points(const Files& files, const std::vector<std::string>& more, bool only_more = false);

}  // namespace wb
