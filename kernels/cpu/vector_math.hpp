#pragma once

#include <bit>
#include <cstdint>

#include "kernels/cpu/bf16.hpp"

/// Functions of one float without branches or tables, so that loops over them vectorise. NaN gives NaN.
namespace wb::cpu {

/// e^x, relative error below 3e-7; 0 below -104, capped at e^88.7 above.
inline float exp_of(float x) {
    constexpr float magic = 12582912.0F;  // 1.5 * 2^23: the sum's low bits hold the nearest integer
    x = x < -104.0F ? -104.0F : x;
    x = x > 88.7F ? 88.7F : x;
    const float shifted = x * 1.44269504F + magic;
    const float n = shifted - magic;
    const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;  // ln 2 in two parts, the first exact times n
    float p = 1.0F / 5040.0F;
    p = p * r + 1.0F / 720.0F;
    p = p * r + 1.0F / 120.0F;
    p = p * r + 1.0F / 24.0F;
    p = p * r + 1.0F / 6.0F;
    p = p * r + 0.5F;
    p = p * r + 1.0F;
    p = p * r + 1.0F;
    // 2^n in two factors: n reaches beyond what one exponent field can hold.
    const auto exponent = static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(shifted) - 0x4b400000U);
    const auto half = exponent >> 1;
    const float first = std::bit_cast<float>(static_cast<std::uint32_t>(half + 127) << 23);
    const float second =
        std::bit_cast<float>((static_cast<std::uint32_t>(exponent) - static_cast<std::uint32_t>(half) + 127U) << 23);
    return p * first * second;
}

inline float sigmoid_of(float x) { return 1.0F / (1.0F + exp_of(-x)); }

/// The normal distribution function, relative error below 1e-6 for x > -3; absolute below 1e-7 everywhere.
/// Upper tail = e^(-x^2/2) P(q) / (1 + 1.2 t), t = |x|, q = (t - 3) / (t + 3), P fitted at Chebyshev nodes (3e-8).
inline float normal_cdf(float x) {
    const float t = x < 0.0F ? -x : x;
    const float q = (t - 3.0F) / (t + 3.0F);
    float p = 7.76136703e-05F;
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
    const float tail = exp_of(-0.5F * x * x) * p / (1.0F + 1.2F * t);
    return x < 0.0F ? tail : 1.0F - tail;
}

}  // namespace wb::cpu
