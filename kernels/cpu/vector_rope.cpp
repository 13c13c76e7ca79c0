#include <cmath>
#include <numbers>
#include <vector>

#include "core/error.hpp"
#include "kernels/cpu/vector_ops.hpp"

namespace wb::cpu {

namespace {

/// Cosine and sine of an angle of any size: reduced in double to a quarter turn around 0, then a Taylor series whose
/// first missing term is below 1e-9 at 45 degrees.
inline void turn(double angle, float& cosine, float& sine) {
    constexpr double magic = 6755399441055744.0;  // 1.5 * 2^52: the sum's low bits hold the nearest integer
    const double quarter = (angle * (2.0 / std::numbers::pi) + magic) - magic;
    const auto x = static_cast<float>(angle - quarter * (std::numbers::pi / 2));
    const float z = x * x;
    const float s = x + x * z * (-1.0F / 6 + z * (1.0F / 120 + z * (-1.0F / 5040 + z * (1.0F / 362880))));
    const float c = 1.0F - 0.5F * z + z * z * (1.0F / 24 + z * (-1.0F / 720 + z * (1.0F / 40320)));
    // quarter mod 4, without leaving floating point
    const auto q = static_cast<float>(quarter - 4.0 * ((quarter * 0.25 - 0.375 + magic) - magic));
    const bool swapped = q == 1.0F || q == 3.0F;
    const float cs = swapped ? s : c;
    const float sn = swapped ? c : s;
    cosine = q == 1.0F || q == 2.0F ? -cs : cs;
    sine = q == 2.0F || q == 3.0F ? -sn : sn;
}

template <class T>
void rotate(const T* x, T* y, const float* cosine, const float* sine, std::int64_t half, bool interleaved) {
    if (interleaved) {
#pragma omp simd
        for (std::int64_t i = 0; i < half; ++i) {
            const float a = to_float(x[2 * i]), b = to_float(x[2 * i + 1]);
            y[2 * i] = from_float<T>(a * cosine[i] - b * sine[i]);
            y[2 * i + 1] = from_float<T>(a * sine[i] + b * cosine[i]);
        }
        return;
    }
#pragma omp simd
    for (std::int64_t i = 0; i < half; ++i) {
        const float a = to_float(x[i]), b = to_float(x[i + half]);
        y[i] = from_float<T>(a * cosine[i] - b * sine[i]);
        y[i + half] = from_float<T>(a * sine[i] + b * cosine[i]);
    }
}

}  // namespace

template <class T>
void rope(const T* x, const std::int32_t* position, T* y, const Rope& shape, int threads) {
    WB_EXPECT(shape.rows >= 0 && shape.heads >= 0 && shape.head_dim >= 0 && shape.head_dim % 2 == 0 && threads >= 1);
    const std::int64_t half = shape.head_dim / 2;
    std::vector<double> speed(static_cast<std::size_t>(half));
    for (std::int64_t i = 0; i < half; ++i)
        speed[static_cast<std::size_t>(i)] =
            (shape.inverse ? -1.0 : 1.0) * std::pow(shape.theta, -2.0 * double(i) / double(shape.head_dim));
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        std::vector<float> cosine(speed.size()), sine(speed.size());
        float* cosines = cosine.data();
        float* sines = sine.data();
        const double* speeds = speed.data();
#pragma omp for schedule(static)
        for (std::int64_t r = 0; r < shape.rows; ++r) {
            const double at = position[r];
#pragma omp simd
            for (std::int64_t i = 0; i < half; ++i) turn(at * speeds[i], cosines[i], sines[i]);
            for (std::int64_t h = 0; h < shape.heads; ++h) {
                const std::int64_t offset = (r * shape.heads + h) * shape.head_dim;
                rotate(x + offset, y + offset, cosines, sines, half, shape.interleaved);
            }
        }
    }
}

template void rope(const float*, const std::int32_t*, float*, const Rope&, int);
template void rope(const bf16*, const std::int32_t*, bf16*, const Rope&, int);

}  // namespace wb::cpu
