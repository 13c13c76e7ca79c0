#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/error.hpp"

namespace wb::fabric {

/// What the elements of a vector are; a wavelet carries one f32 or two f16.
enum class Type : std::uint8_t { f32, f16 };

constexpr std::uint32_t bytes(Type t) { return t == Type::f32 ? 4 : 2; }
constexpr std::uint32_t per_wavelet(Type t) { return t == Type::f32 ? 1 : 2; }

/// A strided view of one PE's SRAM: `count` elements of `type`, the first at byte `base`, neighbours `stride` elements
/// apart.
struct Vec {
    static constexpr std::uint32_t nowhere = ~0U;  ///< a base: no memory, what is stored there is dropped

    std::uint32_t base = nowhere;
    std::uint32_t count = 0;
    std::int32_t stride = 1;
    Type type = Type::f32;

    /// Elements first, first + 1, ..., first + n - 1 of this view. Throws ContractError past its end.
    Vec sub(std::size_t first, std::size_t n) const {
        WB_EXPECT(first + n <= count);
        Vec v = *this;
        v.count = static_cast<std::uint32_t>(n);
        if (base != nowhere) v.base = at(first);
        return v;
    }
    /// Elements 0, step, 2 step, ... of this view.
    Vec every(std::uint32_t step) const {
        WB_EXPECT(step > 0);
        Vec v = *this;
        v.count = (count + step - 1) / step;
        v.stride *= static_cast<std::int32_t>(step);
        return v;
    }
    /// Byte address of element i.
    std::uint32_t at(std::size_t i) const {
        return base + static_cast<std::uint32_t>(static_cast<std::int64_t>(i) * stride * bytes(type));
    }
    /// Wavelets that carry it; an odd tail of f16 is padded.
    std::uint32_t wavelets() const { return (count + per_wavelet(type) - 1) / per_wavelet(type); }
};

/// The count of `n` elements without memory: a receiver that only forwards, or that drops.
inline Vec nothing(std::size_t n, Type type = Type::f32) {
    return {Vec::nowhere, static_cast<std::uint32_t>(n), 1, type};
}

}  // namespace wb::fabric
