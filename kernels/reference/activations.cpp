#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/reference/operators.hpp"

namespace wb::reference {
namespace {

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// The approximation of Hendrycks and Gimpel 2016: 0.5 x (1 + tanh(u)), u = sqrt(2 / pi) (x + 0.044715 x^3).
constexpr double cubic = 0.044715;
const double slope = std::sqrt(2 / std::numbers::pi);

double inner(double x) { return slope * (x + cubic * x * x * x); }

double gelu(double x, bool tanh_form) {
    return 0.5 * x * (1 + (tanh_form ? std::tanh(inner(x)) : std::erf(x / std::numbers::sqrt2)));
}

double gelu_derivative(double x, bool tanh_form) {
    if (!tanh_form) {
        const double density = std::exp(-x * x / 2) * std::numbers::inv_sqrtpi / std::numbers::sqrt2;
        return 0.5 * (1 + std::erf(x / std::numbers::sqrt2)) + x * density;
    }
    const double t = std::tanh(inner(x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope * (1 + 3 * cubic * x * x);
}

}  // namespace

void softmax(const Call& call) {
    const View &x = call.in[0], &y = call.out[0];
    for (std::int64_t r = 0; r < x.rows(); ++r) {
        const double largest = *std::max_element(x.row(r), x.row(r) + x.columns());
        double sum = 0;
        for (std::int64_t j = 0; j < x.columns(); ++j) sum += y.row(r)[j] = std::exp(x.row(r)[j] - largest);
        for (std::int64_t j = 0; j < x.columns(); ++j) y.row(r)[j] /= sum;
    }
}

void softmax_backward(const Call& call) {
    const View &dy = call.in[0], &y = call.in[1], &dx = call.out[0];
    for (std::int64_t r = 0; r < y.rows(); ++r) {
        double mean = 0;
        for (std::int64_t j = 0; j < y.columns(); ++j) mean += dy.row(r)[j] * y.row(r)[j];
        for (std::int64_t j = 0; j < y.columns(); ++j) dx.row(r)[j] = y.row(r)[j] * (dy.row(r)[j] - mean);
    }
}

void gelu(const Call& call) {
    for (std::int64_t i = 0; i < call.in[0].size(); ++i)
        call.out[0].data[i] = gelu(call.in[0].data[i], call.a.tanh_form);
}

void gelu_backward(const Call& call) {
    for (std::int64_t i = 0; i < call.in[0].size(); ++i)
        call.out[0].data[i] = call.in[0].data[i] * gelu_derivative(call.in[1].data[i], call.a.tanh_form);
}

void silu_mul(const Call& call) {
    for (std::int64_t i = 0; i < call.in[0].size(); ++i) {
        const double g = call.in[0].data[i];
        call.out[0].data[i] = g * sigmoid(g) * call.in[1].data[i];
    }
}

void silu_mul_backward(const Call& call) {
    for (std::int64_t i = 0; i < call.in[0].size(); ++i) {
        const double dy = call.in[0].data[i], g = call.in[1].data[i], u = call.in[2].data[i], s = sigmoid(g);
        call.out[0].data[i] = dy * u * s * (1 + g * (1 - s));
        call.out[1].data[i] = dy * g * s;
    }
}

}  // namespace wb::reference
