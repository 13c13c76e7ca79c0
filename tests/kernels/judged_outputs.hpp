#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "core/backend.hpp"
#include "core/tables.hpp"

// What a backend computed against what the judge did.

namespace wb {

using Overrides = std::vector<std::pair<std::string, ParamValue>>;

/// The source tree; WB_SOURCE where the program came from another machine.
inline std::string source() {
    const char* const moved = std::getenv("WB_SOURCE");
    return moved ? moved : WB_SOURCE_DIR;
}

inline const Files& files() {
    static const Files all({source() + "/configs"});
    return all;
}

inline constexpr double rate = 3e-4;  // of add_update

/// What differs between two sets of outputs: empty if nothing does. `tolerance` is of a tensor's largest magnitude,
/// twice that for second moments, which are squares. Weights may differ by `step` besides: while the moments are young,
/// AdamW moves a weight by its rate however small the gradient, and the sign of a gradient near zero is rounding noise.
/// The gradient of a key's bias is zero by cancellation (softmax does not see it) and so has no magnitude to measure
/// by: hence the floor.
inline std::string difference(const Outputs& found, const Outputs& wanted, const Graph& g, double tolerance,
                              double step = 0) {
    if (found.size() != wanted.size()) return fmt::format("{} outputs instead of {}", found.size(), wanted.size());
    std::string worst;
    double largest_excess = 1;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        const Output &a = found[i], &b = wanted[i];
        if (a.tensor != b.tensor || a.instance != b.instance || a.name != b.name || a.values.size() != b.values.size())
            return fmt::format("output {} is {} {} of {} values", i, a.name, a.instance, a.values.size());
        double magnitude = 0, error = 0;
        for (std::size_t k = 0; k < b.values.size(); ++k) {
            magnitude = std::max(magnitude, std::abs(b.values[k]));
            const double e = std::abs(a.values[k] - b.values[k]);
            error = std::isfinite(e) ? std::max(error, e) : INFINITY;
        }
        const bool moved = g.tensor(b.tensor).role == Role::weight || b.name.ends_with(".master");
        const bool squares = b.name.ends_with(".v");
        const double floor = 1e-3 * tolerance;
        const double allowed = squares ? 2 * tolerance * magnitude + floor * floor : tolerance * magnitude + floor;
        const double excess = error / (allowed + (moved ? step : 0));
        if (excess > largest_excess) {
            largest_excess = excess;
            worst = fmt::format("{}[{}]: error {:.3g}, magnitude {:.3g}, allowed {:.3g} of it", a.name, a.instance,
                                error, magnitude, tolerance);
        }
    }
    return worst;
}

}  // namespace wb
