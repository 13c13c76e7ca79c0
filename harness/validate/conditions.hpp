#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/workload.hpp"
#include "harness/validate/point.hpp"

namespace wb {

/// Under what conditions a source measured, where its rows do not say: choices of options of the system file, values of
/// keys, or the algorithm of a mapping.
struct Condition {
    std::string group, library;                 ///< "prefix*" or a whole name; empty: any
    std::map<std::string, std::string> params;  ///< values that keys of the row must have
    std::map<std::string, std::string> options;
    std::map<std::string, std::string> states;  ///< values of keys the row leaves out
    std::string algorithm;                      ///< empty: as the row says

    bool holds(const Point& point) const;
};

/// Reads configs/validation/conditions.toml; nothing where there is none. Throws Error at file:line:column.
std::vector<Condition> read_conditions(const Files& files);

/// Whether a name is the pattern, or begins with it where it ends in a star.
bool name_matches(const std::string& pattern, const std::string& name);

}  // namespace wb
