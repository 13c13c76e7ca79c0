#include "core/error.hpp"
#include "kernels/cpu/vector_loop.hpp"
#include "kernels/cpu/vector_math.hpp"
#include "kernels/cpu/vector_ops.hpp"

namespace wb::cpu {

namespace {

constexpr float root_2_over_pi = 0.797884561F;
constexpr float cubic = 0.044715F;  // Hendrycks & Gimpel, 2016

/// 0.5 (1 + tanh(u)) is sigmoid(2u): no cancellation for negative u.
struct TanhGelu {
    static Vec gate(Vec x) { return sigmoid_of(2.0F * root_2_over_pi * (x + cubic * x * x * x)); }
    static Vec value(Vec x) { return x * gate(x); }
    static Vec slope(Vec x) {
        const Vec s = gate(x);
        return s + x * s * (1.0F - s) * (2.0F * root_2_over_pi * (1.0F + 3.0F * cubic * x * x));
    }
};

struct ErfGelu {
    static Vec value(Vec x) { return x * normal_cdf(x); }
    static Vec slope(Vec x) {
        constexpr float inv_root_2_pi = 0.398942280F;
        return normal_cdf(x) + x * inv_root_2_pi * exp_of(-0.5F * x * x);
    }
};

template <class Form, class T>
void forward(const T* x, T* y, std::int64_t n, int threads) {
    each_vector_by(threads, n, [=](const auto& at, int) { at.store(y, Form::value(at.load(x))); });
}

template <class Form, class T>
void backward(const T* x, const T* dy, T* dx, std::int64_t n, int threads) {
    each_vector_by(threads, n, [=](const auto& at, int) { at.store(dx, at.load(dy) * Form::slope(at.load(x))); });
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
    each_vector_by(threads, n, [=](const auto& at, int) {
        const Vec x = at.load(g);
        at.store(y, x * sigmoid_of(x) * at.load(u));
    });
}

template <class T>
void silu_mul_backward(const T* g, const T* u, const T* dy, T* dg, T* du, std::int64_t n, int threads) {
    WB_EXPECT(n >= 0 && threads >= 1);
    each_vector_by(threads, n, [=](const auto& at, int) {
        const Vec x = at.load(g), other = at.load(u), d = at.load(dy);
        const Vec s = sigmoid_of(x);
        at.store(dg, d * other * (s + x * s * (1.0F - s)));
        at.store(du, d * x * s);
    });
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
