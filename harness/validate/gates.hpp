#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/system.hpp"
#include "harness/plan.hpp"
#include "harness/validate/error_summary.hpp"

namespace wb {

/// The error that the rows of a group or family must stay under.
struct Gate {
    std::string group, family;  ///< "prefix*" or a whole name; empty: any
    std::string backend;
    std::vector<std::string> except;                     ///< ids that do not count, explained by `why`
    std::optional<double> median, p90, worst, coverage;  ///< coverage: share of the rows that must be predicted
    std::string where;                                   ///< file:line:column

    bool holds_for(const Point& point) const;
    std::string text() const;  ///< "decode on wafer"
};

/// configs/validation/gates.toml; nothing where there is none. Throws Error at file:line:column.
std::vector<Gate> read_gates(const Files& files);

/// A sentence for each breach. Rows of files given with --points do not count. A gate whose rows are not all there
/// (filters) is not judged; a gate that no shipped point meets is a breach. Whatever the gates, a measurement may not
/// be faster than a bound, unless a gate of that backend excepts it.
std::vector<std::string> breaches(const std::vector<Gate>& gates, const std::vector<Judged>& rows,
                                  const std::vector<Point>& all, const BackendSet& backends);

}  // namespace wb
