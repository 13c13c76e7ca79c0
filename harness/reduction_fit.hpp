#pragma once

#include <functional>
#include <string>

#include "core/system.hpp"
#include "harness/network_probe.hpp"

namespace wb {

/// What messages alone do not show of a library's reductions: two numbers, fitted over all sizes together.
struct ReductionFit {
    double long_bytes = 0;  ///< allreduce goes around in blocks from this size on, and doubles distances below
    double overhead_s = 0;  ///< of a call: what it does besides messages, additions and copies

    /// Lines of a system file's [fitted].
    std::string toml() const;
};

/// Seconds that a system predicts for a collective.
using Predict = std::function<double(const System& system, const std::string& op, double bytes)>;

/// `system` holds the messages of the same figures. The switch is the size at which |log(predicted / measured)|, summed
/// over all sizes of allreduce, is least; the overhead the median of what is missing from reductions of short messages.
ReductionFit fit_reductions(const NetworkFigures& figures, System system, const Predict& predict);

}  // namespace wb
