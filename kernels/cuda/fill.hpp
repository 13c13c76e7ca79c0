#pragma once

#include <cstdint>
#include <string_view>

#include "core/graph.hpp"
#include "core/hash.hpp"
#include "kernels/cuda/types.hpp"

namespace wb::cuda {

/// core/fill.hpp's FillStream for a device: the same hash, the same arithmetic, of the elements of a tensor's piece.
struct FillRule {
    Fill::Kind kind = Fill::Kind::none;
    double a = 0;
    std::uint64_t key = 0;
    std::int64_t first = 0, run = 1, stride = 1;  ///< runs of `run` elements, `stride` apart in the whole, from `first`
};

inline std::uint64_t fill_key(const Fill& fill, std::uint64_t seed, std::string_view name, std::int64_t instance) {
    return Digest().add(seed).add(fill.stream.empty() ? name : std::string_view(fill.stream)).add(instance).low();
}

/// The value of local element i. Not of sources, which only the host can read.
constexpr double fill_value(const FillRule& rule, std::int64_t i) {
    if (rule.kind == Fill::Kind::constant) return rule.a;
    if (rule.kind == Fill::Kind::none) return 0;
    const std::int64_t at = rule.first + i / rule.run * rule.stride + i % rule.run;
    const std::uint64_t h = mix64(rule.key ^ mix64(static_cast<std::uint64_t>(at)));
    if (rule.kind == Fill::Kind::integers) return static_cast<double>(h % static_cast<std::uint64_t>(rule.a));
    return (static_cast<double>(h >> 40) * 0x1p-23 - 1.0) * rule.a;
}

/// Bits of a float of 8 bits or fewer with so many of mantissa, rounded to nearest even and saturated at `largest`.
constexpr std::uint8_t small_float_bits(float value, int mantissa, int bias, std::uint32_t largest) {
    const std::uint32_t b = std::bit_cast<std::uint32_t>(value), a = b & 0x7fffffffU;
    const std::uint32_t sign = (b >> 24) & 0x80U;
    const int exponent = static_cast<int>(a >> 23) - 127 + bias;  // of the result; below 1: subnormal
    const std::uint32_t significand = (a & 0x7fffffU) | (a >= 0x800000U ? 0x800000U : 0U);
    const int shift = 23 - mantissa + (exponent < 1 ? 1 - exponent : 0);
    if (shift > 24) return static_cast<std::uint8_t>(sign);
    const std::uint32_t kept = significand >> shift, rest = significand & ((1U << shift) - 1), half = 1U << (shift - 1);
    const std::uint32_t up = rest > half || (rest == half && (kept & 1U)) ? 1 : 0;
    const std::uint32_t base = exponent < 1 ? 0 : static_cast<std::uint32_t>(exponent - 1) << mantissa;
    const std::uint32_t out = base + kept + up;
    return static_cast<std::uint8_t>(sign | (out < largest ? out : largest));
}
constexpr std::uint8_t e4m3_bits(float value) { return small_float_bits(value, 3, 7, 0x7e); }
constexpr std::uint8_t e5m2_bits(float value) { return small_float_bits(value, 2, 15, 0x7b); }

/// To ten bits of mantissa, nearest even.
constexpr float tf32_value(float value) {
    const std::uint32_t b = std::bit_cast<std::uint32_t>(value);
    return std::bit_cast<float>((b + 0xfffU + ((b >> 13) & 1U)) & ~0x1fffU);
}

}  // namespace wb::cuda
