#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "core/element.hpp"

namespace wb {
namespace element_sum {

/// Conversions that vectorise, bit for bit those of core/element.hpp; for the two types that carry large sums.
struct Bf16 {
    using Stored = std::uint16_t;
    static float load(Stored x) { return std::bit_cast<float>(std::uint32_t{x} << 16); }
    static Stored store(float x) {
        const auto b = std::bit_cast<std::uint32_t>(x);
        const std::uint32_t rounded = b + 0x7fff + ((b >> 16) & 1);  // to nearest, ties to even
        return static_cast<Stored>(x != x ? (b >> 16) | 0x7fff : rounded >> 16);
    }
};

struct F16 {
    using Stored = std::uint16_t;
    static float load(Stored x) {
        const std::uint32_t magnitude = std::uint32_t{x} & 0x7fff, sign = (std::uint32_t{x} & 0x8000) << 16;
        // The multiplication moves the exponent's bias from 15 to 127 and makes subnormal numbers normal.
        const float finite = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
        const std::uint32_t b = std::bit_cast<std::uint32_t>(finite) | (magnitude >= 0x7c00 ? 0x7f800000u : 0u);
        return std::bit_cast<float>(b | sign);
    }
    static Stored store(float x) {
        const auto b = std::bit_cast<std::uint32_t>(x);
        const std::uint32_t sign = (b >> 16) & 0x8000, a = b & 0x7fffffff;
        // Adding 0.5 leaves a subnormal half's bits, rounded by the addition, at the low end of the significand.
        const std::uint32_t small = std::bit_cast<std::uint32_t>(std::bit_cast<float>(a) + 0.5f) - 0x3f000000u;
        const std::uint32_t normal = (a - 0x38000000u + 0xfff + ((a >> 13) & 1)) >> 13;
        const std::uint32_t finite = a < 0x38800000u ? small : std::min(normal, 0x7c00u);
        return static_cast<Stored>(sign | (a > 0x7f800000u ? 0x7fffu : a >= 0x47800000u ? 0x7c00u : finite));
    }
};

/// Any other type of at most one float: by way of encode and decode.
template <DType type, class StoredType>
struct Rare {
    using Stored = StoredType;
    static float load(Stored x) { return static_cast<float>(decode(type, &x)); }
    static Stored store(float x) {
        Stored out;
        encode(x, type, &out);
        return out;
    }
};

template <DType type>
auto format_of() {
    if constexpr (type == DType::bf16)
        return Bf16();
    else if constexpr (type == DType::f16)
        return F16();
    else if constexpr (type == DType::tf32)
        return Rare<type, float>();
    else
        return Rare<type, std::uint8_t>();
}

}  // namespace element_sum

/// inout[i] += in[i] for `count` elements of `type`, a floating-point type of at most 32 bits: added in f32, rounded
/// back.
template <DType type>
void add_elements(const void* in, void* inout, std::int64_t count) {
    using Format = decltype(element_sum::format_of<type>());
    const auto* a = static_cast<const typename Format::Stored*>(in);
    auto* b = static_cast<typename Format::Stored*>(inout);
    for (std::int64_t i = 0; i < count; ++i) b[i] = Format::store(Format::load(a[i]) + Format::load(b[i]));
}

}  // namespace wb
