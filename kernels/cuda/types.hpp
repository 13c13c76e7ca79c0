#pragma once

#include <bit>
#include <cstdint>

#include "core/error.hpp"
#include "core/op.hpp"

#if defined(__CUDACC__)
#define WB_BOTH __host__ __device__ __forceinline__
#define WB_DEVICE __device__ __forceinline__
#define WB_UNROLL _Pragma("unroll")  // before a loop whose arrays are to stay in registers
#else
#define WB_BOTH inline
#define WB_DEVICE inline
#define WB_UNROLL
#endif

namespace wb::cuda {

constexpr int warp_threads = 32;

/// Blocks of a launch.
struct Grid {
    std::int64_t x = 1, y = 1, z = 1;
};

/// Storage of 16-bit floating-point numbers; arithmetic is done in f32.
struct bf16 {
    std::uint16_t bits;
};
struct f16 {
    std::uint16_t bits;
};

/// Round to nearest, ties to even; a NaN stays one.
constexpr std::uint16_t bf16_bits(float value) {
    const std::uint32_t b = std::bit_cast<std::uint32_t>(value);
    if ((b & 0x7fffffffU) > 0x7f800000U) return static_cast<std::uint16_t>((b >> 16) | 0x40U);
    return static_cast<std::uint16_t>((b + 0x7fffU + ((b >> 16) & 1U)) >> 16);
}

constexpr std::uint16_t f16_bits(float value) {
    const std::uint32_t b = std::bit_cast<std::uint32_t>(value), sign = (b >> 16) & 0x8000U, a = b & 0x7fffffffU;
    if (a > 0x7f800000U) return static_cast<std::uint16_t>(sign | 0x7e00U);
    if (a >= 0x477ff000U) return static_cast<std::uint16_t>(sign | 0x7c00U);  // rounds to 65536 or more
    if (a < 0x33000001U) return static_cast<std::uint16_t>(sign);             // rounds to zero
    const int exponent = static_cast<int>(a >> 23);
    const std::uint32_t significand = (a & 0x7fffffU) | 0x800000U;
    const int shift = exponent < 113 ? 126 - exponent : 13;  // 113: the smallest normal number's
    const std::uint32_t base = exponent < 113 ? 0 : static_cast<std::uint32_t>(exponent - 113) << 10;
    const std::uint32_t kept = significand >> shift, rest = significand & ((1U << shift) - 1), half = 1U << (shift - 1);
    const std::uint32_t up = rest > half || (rest == half && (kept & 1U)) ? 1 : 0;
    return static_cast<std::uint16_t>(sign | (base + kept + up));  // a normal one's hidden bit adds 1 to the exponent
}

constexpr float f16_value(std::uint16_t bits) {
    const std::uint32_t sign = (bits & 0x8000U) << 16, e = (bits >> 10) & 31U, m = bits & 0x3ffU;
    if (e == 31) return std::bit_cast<float>(sign | 0x7f800000U | (m << 13));
    if (e != 0) return std::bit_cast<float>(sign | ((e + 112) << 23) | (m << 13));
    const float small = static_cast<float>(m) * 0x1p-24F;
    return sign ? -small : small;
}

WB_BOTH float to_float(float x) { return x; }
WB_BOTH float to_float(bf16 x) { return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16); }
WB_BOTH float to_float(f16 x) {
#if defined(__CUDA_ARCH__)
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
#else
    return f16_value(x.bits);
#endif
}

template <class T>
WB_BOTH T from_float(float x);
template <>
WB_BOTH float from_float<float>(float x) {
    return x;
}
template <>
WB_BOTH bf16 from_float<bf16>(float x) {
#if defined(__CUDA_ARCH__)
    bf16 y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
#else
    return {bf16_bits(x)};
#endif
}
template <>
WB_BOTH f16 from_float<f16>(float x) {
#if defined(__CUDA_ARCH__)
    f16 y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
#else
    return {f16_bits(x)};
#endif
}

/// V neighbours in memory, moved as one: 16 bytes where V = 16 / sizeof(T).
template <class T, int V>
struct alignas(V * sizeof(T)) Pack {
    T at[V];
};
template <class T>
constexpr int widest = 16 / static_cast<int>(sizeof(T));

template <class T, int V>
WB_BOTH Pack<T, V> load(const T* from, std::int64_t pack) {
    return reinterpret_cast<const Pack<T, V>*>(from)[pack];
}
template <class T, int V>
WB_BOTH void store(T* to, std::int64_t pack, const Pack<T, V>& value) {
    reinterpret_cast<Pack<T, V>*>(to)[pack] = value;
}

/// body(float{}), body(bf16{}) or body(f16{}): the one place that turns a tensor's type into a C++ type.
template <class Body>
void with_type(DType type, const Body& body) {
    switch (type) {
        case DType::f32:
        case DType::tf32: return body(float{});
        case DType::bf16: return body(bf16{});
        case DType::f16: return body(f16{});
        default: contract_failed("a type that kernels compute in", __FILE__, __LINE__);
    }
}

/// The same for what only moves elements: all types of 16 bits are one, so that it is compiled once for them.
template <class Body>
void with_width(DType type, const Body& body) {
    bits(type) == 16 ? body(bf16{}) : body(float{});
}

/// body(bf16{}) or body(f16{}): what matrix units multiply.
template <class Body>
void with_unit_type(DType type, const Body& body) {
    WB_EXPECT(type == DType::bf16 || type == DType::f16);
    type == DType::bf16 ? body(bf16{}) : body(f16{});
}
constexpr bool is_unit_type(DType type) { return type == DType::bf16 || type == DType::f16; }

}  // namespace wb::cuda
