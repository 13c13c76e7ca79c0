#include "core/error.hpp"
#include "kernels/cpu/vector_math.hpp"
#include "kernels/cpu/vector_ops.hpp"

namespace wb::cpu {

namespace {

constexpr float root_2_over_pi = 0.797884561F;
constexpr float cubic = 0.044715F;  // Hendrycks & Gimpel, 2016

/// 0.5 (1 + tanh(u)) is sigmoid(2u): no cancellation for negative u.
struct TanhGelu {
    static float gate(float x) { return sigmoid_of(2.0F * root_2_over_pi * (x + cubic * x * x * x)); }
    static float value(float x) { return x * gate(x); }
    static float slope(float x) {
        const float s = gate(x);
        return s + x * s * (1.0F - s) * (2.0F * root_2_over_pi * (1.0F + 3.0F * cubic * x * x));
    }
};

struct ErfGelu {
    static float value(float x) { return x * normal_cdf(x); }
    static float slope(float x) {
        constexpr float inv_root_2_pi = 0.398942280F;
        return normal_cdf(x) + x * inv_root_2_pi * exp_of(-0.5F * x * x);
    }
};

template <class Form, class T>
void forward(const T* x, T* y, std::int64_t n, int threads) {
#pragma omp parallel for simd num_threads(threads) schedule(static) if (parallel : threads > 1)
    for (std::int64_t i = 0; i < n; ++i) y[i] = from_float<T>(Form::value(to_float(x[i])));
}

template <class Form, class T>
void backward(const T* x, const T* dy, T* dx, std::int64_t n, int threads) {
#pragma omp parallel for simd num_threads(threads) schedule(static) if (parallel : threads > 1)
    for (std::int64_t i = 0; i < n; ++i) dx[i] = from_float<T>(to_float(dy[i]) * Form::slope(to_float(x[i])));
}

}  // namespace

template <class T>
void gelu(const T* x, T* y, std::int64_t n, GeluForm form, int threads) {
    WB_EXPECT(n >= 0 && threads >= 1);
    if (form == GeluForm::tanh) forward<TanhGelu>(x, y, n, threads);
    if (form == GeluForm::erf) forward<ErfGelu>(x, y, n, threads);
}

template <class T>
void gelu_backward(const T* x, const T* dy, T* dx, std::int64_t n, GeluForm form, int threads) {
    WB_EXPECT(n >= 0 && threads >= 1);
    if (form == GeluForm::tanh) backward<TanhGelu>(x, dy, dx, n, threads);
    if (form == GeluForm::erf) backward<ErfGelu>(x, dy, dx, n, threads);
}

template <class T>
void silu_mul(const T* g, const T* u, T* y, std::int64_t n, int threads) {
    WB_EXPECT(n >= 0 && threads >= 1);
#pragma omp parallel for simd num_threads(threads) schedule(static) if (parallel : threads > 1)
    for (std::int64_t i = 0; i < n; ++i) {
        const float x = to_float(g[i]);
        y[i] = from_float<T>(x * sigmoid_of(x) * to_float(u[i]));
    }
}

template <class T>
void silu_mul_backward(const T* g, const T* u, const T* dy, T* dg, T* du, std::int64_t n, int threads) {
    WB_EXPECT(n >= 0 && threads >= 1);
#pragma omp parallel for simd num_threads(threads) schedule(static) if (parallel : threads > 1)
    for (std::int64_t i = 0; i < n; ++i) {
        const float x = to_float(g[i]), other = to_float(u[i]), d = to_float(dy[i]);
        const float s = sigmoid_of(x);
        dg[i] = from_float<T>(d * other * (s + x * s * (1.0F - s)));
        du[i] = from_float<T>(d * x * s);
    }
}

template void gelu(const float*, float*, std::int64_t, GeluForm, int);
template void gelu(const bf16*, bf16*, std::int64_t, GeluForm, int);
template void gelu_backward(const float*, const float*, float*, std::int64_t, GeluForm, int);
template void gelu_backward(const bf16*, const bf16*, bf16*, std::int64_t, GeluForm, int);
template void silu_mul(const float*, const float*, float*, std::int64_t, int);
template void silu_mul(const bf16*, const bf16*, bf16*, std::int64_t, int);
template void silu_mul_backward(const float*, const float*, const float*, float*, float*, std::int64_t, int);
template void silu_mul_backward(const bf16*, const bf16*, const bf16*, bf16*, bf16*, std::int64_t, int);

}  // namespace wb::cpu
