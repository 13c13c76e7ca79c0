#include <cmath>

#include "kernels/reference/operators.hpp"

namespace wb::reference {

/// Loshchilov and Hutter 2019, algorithm 2, with the schedule multiplier folded into the rate.
void adamw(const Call& call) {
    const Attributes& a = call.a;
    const View &weight = call.out[0], &gradient = call.in[1], &first = call.out[1], &second = call.out[2];
    const bool has_master = call.out.size() > 3;
    const double t = static_cast<double>(call.step);
    for (std::int64_t i = 0; i < weight.size(); ++i) {
        const double g = gradient.data[i];
        double &m = first.data[i], &v = second.data[i], &w = has_master ? call.out[3].data[i] : weight.data[i];
        m = a.beta1 * m + (1 - a.beta1) * g;
        v = a.beta2 * v + (1 - a.beta2) * g * g;
        const double unbiased_m = m / (1 - std::pow(a.beta1, t)), unbiased_v = v / (1 - std::pow(a.beta2, t));
        w -= a.rate * (unbiased_m / (std::sqrt(unbiased_v) + a.eps) + a.decay * w);
        if (has_master) weight.data[i] = rounded(w, weight.dtype);
    }
}

}  // namespace wb::reference
