#pragma once

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "kernels/cpu/bf16.hpp"

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
inline Vec load(const bf16* from) noexcept {
#if defined(__AVX512F__)  // GCC turns a plain conversion of the vector into four; the masked form avoids a false
                          // warning
    const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    IntVec bits = reinterpret_cast<IntVec>(_mm512_maskz_cvtepu16_epi32(0xffff, half));
#elif defined(__AVX2__)
    IntVec bits =
        reinterpret_cast<IntVec>(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
#else
    IntVec bits{};
    for (int i = 0; i < width; ++i) bits[i] = from[i].bits;
#endif
    bits <<= 16;
    return reinterpret_cast<Vec>(bits);
}
inline void store(float* to, Vec value) noexcept { std::memcpy(to, &value, sizeof value); }
/// Rounds as to_bf16 does; where the processor has an instruction for it, what is below 1.2e-38 becomes 0.
inline void store(bf16* to, Vec value) noexcept {
#if defined(__AVX512BF16__)
    const __m256bh half = _mm512_cvtneps_pbh(value);
    std::memcpy(static_cast<void*>(to), &half, sizeof half);
#elif defined(__AVX2__)
    const IntVec bits = reinterpret_cast<IntVec>(value);
    IntVec rounded = bits + 0x7fff + ((bits >> 16) & 1);
    rounded = value == value ? rounded : bits | 0x400000;  // a NaN becomes quiet
#if defined(__AVX512F__)
    const __m256i half = _mm512_maskz_cvtepi32_epi16(0xffff, reinterpret_cast<__m512i>(rounded >> 16));
    std::memcpy(static_cast<void*>(to), &half, sizeof half);
#else
    const auto wide = reinterpret_cast<__m256i>(rounded >> 16 & 0xffff);
    const __m128i half = _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
    std::memcpy(static_cast<void*>(to), &half, sizeof half);
#endif
#else
    for (int i = 0; i < width; ++i) to[i] = to_bf16(value[i]);
#endif
}

/// Keeps a value in a register: GCC would rather load it again for every use, and loads are the scarcer unit.
inline void pin(Vec& value) noexcept {
#if defined(__AVX512F__)
    asm("" : "+v"(value));
#elif defined(__SSE__)
    asm("" : "+x"(value));
#else
    static_cast<void>(value);
#endif
}

/// body(0), ..., body(count - 1) with constant arguments: arrays so indexed live in registers.
template <int count, class Body>
[[gnu::always_inline]] inline void repeat(Body body) noexcept {
    [&]<int... i>(std::integer_sequence<int, i...>) __attribute__((always_inline)) {
        (body(std::integral_constant<int, i>{}), ...);
    }
    (std::make_integer_sequence<int, count>{});
}

/// x - 0 keeps every x, the sign of zero and NaN included.
inline Vec broadcast(float x) noexcept { return x - Vec{}; }

/// Larger and smaller of the two per lane; `a` where either is NaN.
inline Vec max(Vec a, Vec b) noexcept {
#if defined(__AVX512F__)
    return _mm512_maskz_max_ps(0xffff, b, a);  // the plain one draws a false warning from GCC 12
#elif defined(__AVX__)
    return _mm256_max_ps(b, a);
#else
    return b > a ? b : a;
#endif
}
inline Vec min(Vec a, Vec b) noexcept {
#if defined(__AVX512F__)
    return _mm512_maskz_min_ps(0xffff, b, a);
#elif defined(__AVX__)
    return _mm256_min_ps(b, a);
#else
    return b < a ? b : a;
#endif
}

/// Lane i of the result: lane i ^ distance of v.
template <int distance, int... lane>
Vec butterfly(Vec v, std::integer_sequence<int, lane...>) noexcept {
    return __builtin_shufflevector(v, v, (lane ^ distance)...);
}

/// All lanes joined by `op`, in a fixed order.
template <int distance = width / 2, class Op>
float across(Vec v, Op op) noexcept {
    v = op(v, butterfly<distance>(v, std::make_integer_sequence<int, width>{}));
    if constexpr (distance > 1) return across<distance / 2>(v, op);
    return v[0];
}

inline float sum(Vec v) noexcept {
    return across(v, [](Vec a, Vec b) { return a + b; });
}
inline float max_lane(Vec v) noexcept {
    return across(v, [](Vec a, Vec b) { return max(a, b); });
}

/// Pairs of lanes `stride` apart added: the first half of each result group from a, the second from b.
template <int stride, int... lane>
Vec fold(Vec a, Vec b, std::integer_sequence<int, lane...>) noexcept {
    constexpr auto from = [](int i) {
        return i / (2 * stride) * (2 * stride) + i % stride + (i / stride % 2 != 0 ? width : 0);
    };
    return __builtin_shufflevector(a, b, from(lane)...) + __builtin_shufflevector(a, b, (from(lane) + stride)...);
}

/// Lane i of the result: the sum of the lanes of v[i], i < width. Overwrites v.
template <int stride = 1>
[[gnu::always_inline]] inline Vec sums(Vec (&v)[width]) noexcept {
    repeat<width / stride / 2>(
        [&](auto i) { v[i] = fold<stride>(v[2 * i], v[2 * i + 1], std::make_integer_sequence<int, width>{}); });
    if constexpr (stride * 2 < width) return sums<stride * 2>(v);
    return v[0];
}

/// 2^x for x <= 127, relative error below 1.5e-7; 0 below -126.5 (and at -infinity), NaN for NaN.
/// 2^x = 2^n 2^r, n the nearest integer, |r| <= 1/2; the polynomial is the minimax one with p(0) = 1
/// (own Remez run, 2.6e-9). Multiplying by 2^n, not adding n to the exponent bits, is what keeps a NaN.
inline Vec exp2(Vec x) noexcept {
    const Vec low = broadcast(-127.0F);
    const Vec magic = broadcast(12583039.0F);  // 1.5 * 2^23 + 127: the sum's low bits hold the rounded integer + 127
    const Vec clamped = max(x, low);           // this way round NaN passes
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
    exponent <<= 23;
    Vec scale;
    std::memcpy(&scale, &exponent, sizeof scale);
    return p * scale;
}

}  // namespace wb::cpu::simd
