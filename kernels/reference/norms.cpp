#include <cmath>

#include "kernels/reference/operators.hpp"

namespace wb::reference {
namespace {

/// A row is normalised to (x - mean) * inverse.
struct Moments {
    double mean, inverse;
};

/// Variance without Bessel's correction; `centred` false (rmsnorm): mean 0 and the mean square.
Moments moments(const double* x, std::int64_t n, double eps, bool centred) {
    double mean = 0, square = 0;
    if (centred)
        for (std::int64_t j = 0; j < n; ++j) mean += x[j] / static_cast<double>(n);
    for (std::int64_t j = 0; j < n; ++j) square += (x[j] - mean) * (x[j] - mean) / static_cast<double>(n);
    return {mean, 1 / std::sqrt(square + eps)};
}

void forward(const Call& call, bool centred) {
    const View &x = call.in[0], &gamma = call.in[1], &y = call.out[0];
    const std::int64_t n = x.columns() / call.a.heads;
    for (std::int64_t r = 0; r < x.rows() * call.a.heads; ++r) {
        const double* const in = x.data + r * n;
        const Moments m = moments(in, n, call.a.eps, centred);
        for (std::int64_t j = 0; j < n; ++j)
            y.data[r * n + j] = (in[j] - m.mean) * m.inverse * gamma.data[j] + (centred ? call.in[2].data[j] : 0);
    }
}

void backward(const Call& call, bool centred) {
    const View &dy = call.in[0], &x = call.in[1], &gamma = call.in[2], &dx = call.out[0], &dgamma = call.out[1];
    const std::int64_t n = x.columns() / call.a.heads;
    for (std::int64_t r = 0; r < x.rows() * call.a.heads; ++r) {
        const double *const from = dy.data + r * n, *const in = x.data + r * n;
        const Moments m = moments(in, n, call.a.eps, centred);
        double mean = 0, along = 0;  // of the gradient of the normalised row: its mean, and its part along the row
        for (std::int64_t j = 0; j < n; ++j) {
            const double normal = (in[j] - m.mean) * m.inverse, g = from[j] * gamma.data[j];
            if (centred) mean += g / static_cast<double>(n);
            along += g * normal / static_cast<double>(n);
            dgamma.data[j] += from[j] * normal;
            if (centred) call.out[2].data[j] += from[j];
        }
        for (std::int64_t j = 0; j < n; ++j) {
            const double normal = (in[j] - m.mean) * m.inverse;
            dx.data[r * n + j] = m.inverse * (from[j] * gamma.data[j] - mean - normal * along);
        }
    }
}

}  // namespace

void layernorm(const Call& call) { forward(call, true); }
void layernorm_backward(const Call& call) { backward(call, true); }
void rmsnorm(const Call& call) { forward(call, false); }
void rmsnorm_backward(const Call& call) { backward(call, false); }

}  // namespace wb::reference
