#pragma once

#include <string>
#include <vector>

#include "core/workload.hpp"
#include "harness/validate/point.hpp"
#include "harness/validate/system_book.hpp"

namespace wb {

/// How one set of constants follows from published measurements.
struct FitSpec {
    struct Constant {
        std::string table, key, alternative;
        bool whole = false;  ///< only whole numbers mean anything
        std::string text() const { return table + "." + key + (alternative.empty() ? "" : "." + alternative); }
        ConstantName in(const std::string& system) const { return {system, table, key, alternative}; }
    };
    std::string name, backend;
    std::vector<std::string> systems;  ///< share the constants
    std::vector<Constant> constants;
    std::vector<std::string> groups;  ///< "prefix*" or whole names
    std::string leave_out;            ///< rows with the same value of this key are left out together; empty: groups
    std::string objective = "mean";   ///< of |log(predicted / measured)|: mean, rms or worst
    bool awaited = false;  ///< its rows are measured where the machine is at hand: left out while there are too few
    std::string where;

    bool uses(const Point& point) const;
};

/// configs/validation/fits.toml; nothing where there is none. Throws Error at file:line:column.
std::vector<FitSpec> read_fits(const Files& files);

/// Facts of [fitted], [mesh] and [measured] whose source or note begins with "fitted" and that no entry of the list
/// derives.
std::vector<ConstantName> underived(const std::vector<FitSpec>& fits, const Files& files);

}  // namespace wb
