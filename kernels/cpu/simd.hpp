#pragma once

#include <cstdint>
#include <cstring>

/// Float vectors as wide as the processor compiled for, in GCC's vector extensions.
namespace wb::cpu::simd {

#if defined(__AVX512F__)
inline constexpr int width = 16;
inline constexpr int registers = 32;
#elif defined(__AVX__)
inline constexpr int width = 8;
inline constexpr int registers = 16;
#else
inline constexpr int width = 4;
inline constexpr int registers = 16;
#endif

using Vec = float __attribute__((vector_size(width * 4)));
using IntVec = std::int32_t __attribute__((vector_size(width * 4)));

inline Vec load(const float* from) noexcept {
    Vec out;
    std::memcpy(&out, from, sizeof out);
    return out;
}
inline void store(float* to, Vec value) noexcept { std::memcpy(to, &value, sizeof value); }

/// x - 0 keeps every x, the sign of zero and NaN included.
inline Vec broadcast(float x) noexcept { return x - Vec{}; }

/// Larger of the two per lane; `a` where `b` is NaN.
inline Vec max(Vec a, Vec b) noexcept { return b > a ? b : a; }

inline float sum(Vec v) noexcept {
    float lane[width];
    store(lane, v);
    for (int half = width / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) lane[i] += lane[i + half];
    return lane[0];
}

inline float max_lane(Vec v) noexcept {
    float lane[width];
    store(lane, v);
    for (int half = width / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) lane[i] = lane[i + half] > lane[i] ? lane[i + half] : lane[i];
    return lane[0];
}

/// 2^x for x <= 127, relative error below 1.5e-7; 0 below -126.5 (and at -infinity), NaN for NaN.
/// 2^x = 2^n 2^r, n the nearest integer, |r| <= 1/2; the polynomial is the minimax one with p(0) = 1
/// (own Remez run, 2.6e-9). Multiplying by 2^n, not adding n to the exponent bits, is what keeps a NaN.
inline Vec exp2(Vec x) noexcept {
    const Vec low = broadcast(-127.0F);
    const Vec magic = broadcast(12582912.0F);  // 1.5 * 2^23: the sum's low bits hold the rounded integer
    const Vec clamped = x < low ? low : x;
    const Vec shifted = clamped + magic;
    const Vec r = clamped - (shifted - magic);
    Vec p = broadcast(1.5594677549651608e-4F);
    p = p * r + broadcast(1.3406643904915454e-3F);
    p = p * r + broadcast(9.617692974891059e-3F);
    p = p * r + broadcast(5.550310550996298e-2F);
    p = p * r + broadcast(2.4022652782876072e-1F);
    p = p * r + broadcast(6.931472149680392e-1F);
    p = p * r + broadcast(1.0F);
    IntVec exponent;
    std::memcpy(&exponent, &shifted, sizeof exponent);
    exponent = (exponent + 127) << 23;
    Vec scale;
    std::memcpy(&scale, &exponent, sizeof scale);
    return p * scale;
}

}  // namespace wb::cpu::simd
