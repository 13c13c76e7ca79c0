#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/system.hpp"
#include "core/workload.hpp"

namespace wb {

/// A constant of a system file, by table and key: {"my-wafer", "fitted", "dispatch_cycles", ""}. Where the file gives
/// several for the choices of an option, `alternative` is the one meant.
struct ConstantName {
    std::string system, table, key, alternative;
    auto operator<=>(const ConstantName&) const = default;
    std::string text() const {
        return system + " " + table + "." + key + (alternative.empty() ? "" : "." + alternative);
    }
};

/// Systems as their files describe them, read once, with constants that a fit may replace.
class SystemBook {
public:
    explicit SystemBook(const Files& files) : files_(files) {}

    /// `units_per_node` other than 0: nodes of so many units, where the file's innermost fabric is the node.
    std::shared_ptr<const System> load(const std::string& id, const std::map<std::string, std::string>& choices = {},
                                       int units_per_node = 0);

    /// The value in the file. Throws Error if the file has no such constant.
    Fact constant(const ConstantName& name);
    /// From now on systems have this value instead of the file's, whatever alternative they choose.
    void replace(const ConstantName& name, double value);
    /// From now on systems have no such constant, as if their file did not know it.
    void withhold(const ConstantName& name);
    void restore();  ///< all constants as the files say

private:
    const Files& files_;
    std::map<ConstantName, std::optional<double>> replaced_;  // nothing: withheld
    std::map<std::string, std::shared_ptr<const System>> read_, made_;
};

/// The table of facts "mesh", "fitted" or "measured" of a system; throws Error for another name.
std::map<std::string, Fact>& facts_of(System& system, const std::string& table);

}  // namespace wb
