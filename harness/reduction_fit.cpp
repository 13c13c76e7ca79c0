#include "harness/reduction_fit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace wb {
namespace {

constexpr const char *switch_key = "allreduce_long_bytes", *overhead_key = "reduction_overhead_time";
constexpr double short_bytes = 4096;  // beyond, a call's own work is lost among its messages

void set(System& s, const char* key, double value) { s.fitted[key].value = value; }

/// Sum of |log(predicted / measured)| over all sizes.
double error(const NetworkFigures& f, const System& s, const Predict& predict) {
    double out = 0;
    for (const double bytes : f.sizes("allreduce"))
        out += std::abs(std::log(predict(s, "allreduce", bytes) / f.at("allreduce", bytes)));
    return out;
}

}  // namespace

std::string ReductionFit::toml() const {
    constexpr const char* how = "source = \"network\", note = \"fitted over all sizes of the reductions\"";
    return fmt::format("{} = {{ value = \"{:.0f} B\", {} }}\n{} = {{ value = \"{:.6g} ns\", {} }}\n", switch_key,
                       long_bytes, how, overhead_key, overhead_s * 1e9, how);
}

ReductionFit fit_reductions(const NetworkFigures& f, System system, const Predict& predict) {
    ReductionFit out;
    double least = HUGE_VAL;
    set(system, overhead_key, 0);
    for (const double bytes : f.sizes("allreduce")) {
        set(system, switch_key, bytes);
        if (const double e = error(f, system, predict); e < least) least = e, out.long_bytes = bytes;
    }
    set(system, switch_key, out.long_bytes);
    std::vector<double> missing;
    for (const char* op : {"allreduce", "reduce_scatter"})
        for (const double bytes : f.sizes(op))
            if (bytes <= short_bytes) missing.push_back(f.at(op, bytes) - predict(system, op, bytes));
    if (missing.empty()) return out;
    const auto middle = missing.begin() + static_cast<std::ptrdiff_t>(missing.size() / 2);
    std::nth_element(missing.begin(), middle, missing.end());
    out.overhead_s = std::max(0.0, *middle);
    return out;
}

}  // namespace wb
