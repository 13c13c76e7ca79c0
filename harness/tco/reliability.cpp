#include "harness/tco/reliability.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.hpp"

namespace wb::tco {
namespace {

/// Erlang B by its recursion, which never overflows: B(0) = 1, B(k) = a B(k - 1) / (k + a B(k - 1)).
double next_loss(double load, std::int64_t places, double loss) {
    return load * loss / (static_cast<double>(places) + load * loss);
}

}  // namespace

double daly_interval(double mtbf_s, double checkpoint_s) {
    if (checkpoint_s >= 2 * mtbf_s) return mtbf_s;
    const double x = checkpoint_s / (2 * mtbf_s);
    return std::sqrt(2 * checkpoint_s * mtbf_s) * (1 + std::sqrt(x) / 3 + x / 9) - checkpoint_s;
}

double best_interval(double mtbf_s, double checkpoint_s) {
    if (std::isinf(mtbf_s)) return mtbf_s;
    if (checkpoint_s <= 0) return 0;
    const double c = checkpoint_s / mtbf_s;
    double w = std::clamp(daly_interval(mtbf_s, checkpoint_s) / mtbf_s, 1e-12, 1 - 1e-12);
    for (int i = 0; i < 60; ++i) {  // Newton on ln(1 - w) + w + c = 0, whose slope is -w / (1 - w)
        const double step = (std::log1p(-w) + w + c) * (1 - w) / w;
        const double next = std::clamp(w + step, w / 2, (1 + w) / 2);
        if (std::abs(next - w) <= 1e-15 * w) break;
        w = next;
    }
    return w * mtbf_s;
}

double progress(double mtbf_s, double checkpoint_s, double restart_s, double interval_s) {
    if (std::isinf(mtbf_s)) return std::isinf(interval_s) ? 1 : interval_s / (interval_s + checkpoint_s);
    const double again = std::exp(-restart_s / mtbf_s);
    if (interval_s + checkpoint_s <= 0) return again;
    return again * (interval_s / mtbf_s) / std::expm1((interval_s + checkpoint_s) / mtbf_s);
}

double availability(double failures_per_s, double repair_s, std::int64_t spares) {
    double loss = 1;
    for (std::int64_t k = 1; k <= spares + 1; ++k) loss = next_loss(failures_per_s * repair_s, k, loss);
    return 1 - loss;
}

std::int64_t spares_for(double failures_per_s, double repair_s, double wanted) {
    WB_EXPECT(wanted > 0 && wanted < 1);
    const double load = failures_per_s * repair_s;
    double loss = next_loss(load, 1, 1);
    std::int64_t spares = 0;
    while (loss > 1 - wanted) loss = next_loss(load, ++spares + 1, loss);
    return spares;
}

Goodput goodput(const Reliability& r, double things, std::int64_t spares) {
    WB_EXPECT(r.mtbf_s > 0 && things >= 1);
    Goodput out;
    const double together_s = r.mtbf_s / things;
    out.failures_per_s = 1 / together_s;
    out.interval_s = best_interval(together_s, r.checkpoint_s);
    out.kept = progress(together_s, r.checkpoint_s, r.restart_s, out.interval_s);
    out.available = availability(out.failures_per_s, r.repair_s, spares);
    return out;
}

}  // namespace wb::tco
