#pragma once

#include <cstdint>

#include "kernels/cpu/simd.hpp"

/// Functions of a vector of floats without branches or tables. NaN gives NaN.
namespace wb::cpu {

using simd::Vec;

/// p 2^n for whole n in [-151, 128], `shifted` = n + 1.5 * 2^23.
[[gnu::always_inline]] inline Vec times_power(Vec p, Vec n, Vec shifted) {
#if defined(__AVX512F__)
    static_cast<void>(shifted);
    return _mm512_maskz_scalef_ps(0xffff, p, n);  // the plain one draws a false warning from GCC 12
#else  // 2^n in two factors: n reaches beyond what one exponent field can hold
    static_cast<void>(n);
    const simd::IntVec exponent = reinterpret_cast<simd::IntVec>(shifted) - 0x4b400000, half = exponent >> 1;
    return p * reinterpret_cast<Vec>((half + 127) << 23) * reinterpret_cast<Vec>((exponent - half + 127) << 23);
#endif
}

/// e^x, relative error below 3e-7; 0 below -104, capped at e^88.7 above. e^x = 2^n e^r, n the nearest integer to
/// x / ln 2; the polynomial is that of simd::exp2 with its argument in units of ln 2.
[[gnu::always_inline]] inline Vec exp_of(Vec x) {
    const Vec magic = simd::broadcast(12582912.0F);  // 1.5 * 2^23: the sum's low bits hold the nearest integer
    x = simd::min(simd::max(x, simd::broadcast(-104.0F)), simd::broadcast(88.7F));  // this way round NaN passes
    const Vec shifted = x * 1.44269504F + magic;
    const Vec n = shifted - magic;
    const Vec r = (x - n * 0.693359375F) + n * 2.12194440e-4F;  // ln 2 in two parts, the first exact times n
    const Vec square = r * r;                                   // by Estrin's scheme: few products wait for each other
    const Vec high = (r * 8.379011162214659e-3F + 4.166477729741522e-2F) + square * 1.4061240391892496e-3F;
    const Vec middle = r * 1.6666365441261097e-1F + 5.00000043437463e-1F;
    const Vec p = (r + 1.0F) + square * (middle + square * high);
    return times_power(p, n, shifted);
}
inline float exp_of(float x) { return exp_of(simd::broadcast(x))[0]; }

/// 1 / x for 1 <= x < 2^126, relative error below 2e-7.
[[gnu::always_inline]] inline Vec reciprocal(Vec x) {
#if defined(__AVX512F__)
    const Vec y = _mm512_maskz_rcp14_ps(0xffff, x);
    return y + y * (1.0F - x * y);  // one step of Newton's method from 14 bits
#else
    return 1.0F / x;
#endif
}

[[gnu::always_inline]] inline Vec sigmoid_of(Vec x) {
    const Vec e = exp_of(-x);
    return reciprocal(1.0F + simd::min(e, simd::broadcast(0x1p125F)));
}

/// The normal distribution function, relative error below 1e-6 for x > -3; absolute below 1e-7 everywhere.
/// Upper tail = e^(-x^2/2) P(q) / (1 + 1.2 t), t = |x|, q = (t - 3) / (t + 3), P fitted at Chebyshev nodes (3e-8).
[[gnu::always_inline]] inline Vec normal_cdf(Vec x) {
    const Vec far = simd::broadcast(16.0F);  // where the tail is 0
    const Vec t = simd::min(simd::max(x, -x), far);
    const Vec q = 1.0F - 6.0F * reciprocal(t + 3.0F);
    Vec p = simd::broadcast(7.76136703e-05F);
    p = p * q + 3.55120987e-05F;
    p = p * q + -0.000603625839F;
    p = p * q + -0.000375191094F;
    p = p * q + 0.00378976036F;
    p = p * q + 0.000818242464F;
    p = p * q + -0.0284987524F;
    p = p * q + 0.0634383426F;
    p = p * q + -0.0443637768F;
    p = p * q + -0.0745515389F;
    p = p * q + 0.558964162F;
    const Vec tail = exp_of(-0.5F * t * t) * p * reciprocal(1.0F + 1.2F * t);
    return x < 0.0F ? tail : 1.0F - tail;
}
inline float normal_cdf(float x) { return normal_cdf(simd::broadcast(x))[0]; }

}  // namespace wb::cpu
