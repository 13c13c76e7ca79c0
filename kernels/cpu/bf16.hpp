#pragma once

#include <bit>
#include <cstdint>

namespace wb::cpu {

/// bfloat16: the upper half of a float. Storage only; arithmetic happens in float.
struct bf16 {
    std::uint16_t bits = 0;
};

inline float to_float(float value) noexcept { return value; }
inline float to_float(bf16 value) noexcept { return std::bit_cast<float>(std::uint32_t{value.bits} << 16); }

/// Rounds to nearest, ties to even; overflow gives infinity; a NaN stays a (quiet) NaN with its sign.
inline bf16 to_bf16(float value) noexcept {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const auto rounded = static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
    const auto quiet = static_cast<std::uint16_t>((bits >> 16) | 0x40U);
    return bf16{(bits & 0x7fffffffU) > 0x7f800000U ? quiet : rounded};
}

template <class T>
T from_float(float value) noexcept;
template <>
inline float from_float<float>(float value) noexcept {
    return value;
}
template <>
inline bf16 from_float<bf16>(float value) noexcept {
    return to_bf16(value);
}

}  // namespace wb::cpu
