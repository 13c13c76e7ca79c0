#include "core/element.hpp"

#include <algorithm>
#include <limits>

#include "core/error.hpp"

namespace wb {
namespace {

/// A binary floating-point format: stored mantissa bits, exponent bits, largest finite value, has infinities.
struct Format {
    int mantissa, exponent;
    double largest;
    bool infinite;
};

Format format_of(DType type) {
    switch (type) {
        case DType::f32: return {23, 8, std::numeric_limits<float>::max(), true};
        case DType::tf32: return {10, 8, std::numeric_limits<float>::max(), true};
        case DType::bf16: return {7, 8, 0x1.fep127, true};
        case DType::f16: return {10, 5, 65504, true};
        case DType::fp8_e4m3: return {3, 4, 448, false};  // OCP 8-bit floating point 1.0: no infinities
        case DType::fp8_e5m2: return {2, 5, 57344, true};
        case DType::fp4: return {1, 2, 6, false};
        default: contract_failed("a floating-point format", __FILE__, __LINE__);
    }
}

double round_float(double value, const Format& f, bool saturate) {
    if (!std::isfinite(value) || value == 0) return value;
    const int lowest = 2 - (1 << (f.exponent - 1));  // exponent of the smallest normal number
    const int exponent = std::max(std::ilogb(value), lowest);
    const double step = std::ldexp(1.0, exponent - f.mantissa);
    const double r = std::nearbyint(value / step) * step;
    if (std::abs(r) <= f.largest) return r;
    return std::copysign(saturate || !f.infinite ? f.largest : std::numeric_limits<double>::infinity(), value);
}

/// Bits of a value already rounded to a format of at most 16 bits.
std::uint32_t pack(double value, const Format& f) {
    const std::uint32_t sign = std::signbit(value) ? 1u << (f.mantissa + f.exponent) : 0;
    const std::uint32_t top = ((1u << f.exponent) - 1) << f.mantissa;
    if (std::isnan(value)) return sign | top | ((1u << f.mantissa) - 1);
    if (std::isinf(value)) return sign | top;
    const double a = std::abs(value);
    if (a == 0) return sign;
    const int bias = (1 << (f.exponent - 1)) - 1, lowest = 1 - bias;
    const int exponent = std::max(std::ilogb(a), lowest);
    const auto significand = static_cast<std::uint32_t>(std::ldexp(a, f.mantissa - exponent));
    const std::uint32_t hidden = 1u << f.mantissa;
    const std::uint32_t e = significand >= hidden ? static_cast<std::uint32_t>(exponent + bias) : 0;
    return sign | (e << f.mantissa) | (significand & (hidden - 1));
}

double unpack(std::uint32_t b, const Format& f) {
    const int bias = (1 << (f.exponent - 1)) - 1;
    const std::uint32_t mask = (1u << f.mantissa) - 1, m = b & mask, e = (b >> f.mantissa) & ((1u << f.exponent) - 1);
    const double sign = (b >> (f.mantissa + f.exponent)) & 1 ? -1 : 1;
    const bool top = e == (1u << f.exponent) - 1;
    if (top && f.infinite)
        return m ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
    if (top && f.mantissa == 3 && m == mask) return std::numeric_limits<double>::quiet_NaN();  // e4m3
    if (e == 0) return sign * std::ldexp(m, 1 - bias - f.mantissa);
    return sign * std::ldexp(m | (1u << f.mantissa), static_cast<int>(e) - bias - f.mantissa);
}

}  // namespace

double rounded(double value, DType type) {
    switch (type) {
        case DType::f64: return value;
        case DType::f32: return static_cast<double>(static_cast<float>(value));
        case DType::int8: return std::clamp(std::nearbyint(value), -128.0, 127.0);
        case DType::int32: return std::nearbyint(value);
        default: return round_float(value, format_of(type), bits(type) <= 8);
    }
}

void encode(double value, DType type, void* at) {
    WB_EXPECT(!is_class(type));
    const auto put = [at](auto v) { std::memcpy(at, &v, sizeof v); };
    if (type == DType::f64) return put(value);
    if (type == DType::f32 || type == DType::tf32) return put(static_cast<float>(rounded(value, type)));
    if (type == DType::int8) return put(static_cast<std::int8_t>(rounded(value, type)));
    if (type == DType::int32) return put(static_cast<std::int32_t>(rounded(value, type)));
    const std::uint32_t packed = pack(rounded(value, type), format_of(type));
    if (bits(type) == 16) return put(static_cast<std::uint16_t>(packed));
    put(static_cast<std::uint8_t>(packed));
}

double decode(DType type, const void* at) {
    const auto get = [at](auto v) {
        std::memcpy(&v, at, sizeof v);
        return v;
    };
    if (type == DType::f64) return get(0.0);
    if (type == DType::f32 || type == DType::tf32) return get(0.0f);
    if (type == DType::int8) return get(std::int8_t{});
    if (type == DType::int32) return get(std::int32_t{});
    if (bits(type) == 16) return unpack(get(std::uint16_t{}), format_of(type));
    return unpack(get(std::uint8_t{}), format_of(type));
}

}  // namespace wb
