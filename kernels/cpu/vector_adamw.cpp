#if defined(__AVX__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "kernels/cpu/gemm_simd.hpp"
#include "kernels/cpu/vector_ops.hpp"

namespace wb::cpu {

namespace {

struct Factors {
    float beta1, beta2, eps, keep, rate, unbias;
};

using Vector = Lanes<float>::Vector;

/// Loops over std::sqrt stay scalar, because each call may have to set errno.
inline Vector root(Vector x) {
#if defined(__AVX512F__)
    return _mm512_maskz_sqrt_ps(0xffff, x);  // the plain one draws a false warning from GCC 12
#elif defined(__AVX__)
    return _mm256_sqrt_ps(x);
#else
    for (int l = 0; l < Lanes<float>::width; ++l) x[l] = std::sqrt(x[l]);
    return x;
#endif
}
inline float root(float x) { return std::sqrt(x); }

/// V is one float or a vector of them.
template <class V>
void update_at(V& parameter, V gradient, V& m, V& v, const Factors& f) {
    m = f.beta1 * m + (1.0F - f.beta1) * gradient;
    v = f.beta2 * v + (1.0F - f.beta2) * gradient * gradient;
    parameter = f.keep * parameter - f.rate * m / (root(v) * f.unbias + f.eps);
}

void round_to(const float* from, bf16* to, std::int64_t n) {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) to[i] = to_bf16(from[i]);
}

template <class T>
void update(float* parameter, const T* gradient, float* m, float* v, std::int64_t n, const Factors& factors) {
    const Factors f = factors;
    std::int64_t i = 0;
    for (; i + Lanes<float>::width <= n; i += Lanes<float>::width) {
        Vector p = load_lanes(parameter + i), first = load_lanes(m + i), second = load_lanes(v + i);
        update_at(p, load_lanes(gradient + i), first, second, f);
        store_lanes(parameter + i, p);
        store_lanes(m + i, first);
        store_lanes(v + i, second);
    }
    for (; i < n; ++i) update_at(parameter[i], to_float(gradient[i]), m[i], v[i], f);
}

/// `weight`: null where the parameter is the weight.
template <class T>
void adamw_by_blocks(float* parameter, const T* gradient, float* m, float* v, bf16* weight, std::int64_t n,
                     const AdamW& how, int threads) {
    WB_EXPECT(n >= 0 && threads >= 1 && how.step >= 1);
    constexpr std::int64_t block = 8192;
    const double step = static_cast<double>(how.step);
    const auto rate = static_cast<float>(how.lr / (1.0 - std::pow(static_cast<double>(how.beta1), step)));
    const auto unbias = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(static_cast<double>(how.beta2), step)));
    const Factors factors{how.beta1, how.beta2, how.eps, 1.0F - how.lr * how.weight_decay, rate, unbias};
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1 && n > block)
    for (std::int64_t i = 0; i < n; i += block) {
        const std::int64_t count = std::min(block, n - i);
        update(parameter + i, gradient + i, m + i, v + i, count, factors);
        if (weight != nullptr) round_to(parameter + i, weight + i, count);  // while the block is in cache
    }
}

}  // namespace

void adamw(float* parameter, const float* gradient, float* m, float* v, std::int64_t n, const AdamW& how, int threads) {
    adamw_by_blocks(parameter, gradient, m, v, nullptr, n, how, threads);
}

void adamw(float* parameter, const bf16* gradient, float* m, float* v, bf16* weight, std::int64_t n, const AdamW& how,
           int threads) {
    adamw_by_blocks(parameter, gradient, m, v, weight, n, how, threads);
}

}  // namespace wb::cpu
