#include <cmath>

#include "core/error.hpp"
#include "kernels/cpu/vector_math.hpp"
#include "kernels/cpu/vector_ops.hpp"
#include "kernels/cpu/vector_rows.hpp"

namespace wb::cpu {

namespace {

template <class T>
float row_min(const T* x, std::int64_t cols) {
    float bottom = INFINITY;
#pragma omp simd reduction(min : bottom)
    for (std::int64_t j = 0; j < cols; ++j) {
        const float value = to_float(x[j]);
        bottom = value < bottom ? value : bottom;
    }
    return bottom;
}

/// y = e^(scale x - shift) / (their sum). A float row holds the exponentials until the sum is known; a bf16
/// row would round them twice, so they are computed again.
void write_softmax(const float* x, float* y, std::int64_t cols, float scale, float shift) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t j = 0; j < cols; ++j) {
        const float e = exp_of(x[j] * scale - shift);
        y[j] = e;
        sum += e;
    }
    const float factor = 1.0F / sum;
#pragma omp simd
    for (std::int64_t j = 0; j < cols; ++j) y[j] *= factor;
}

void write_softmax(const bf16* x, bf16* y, std::int64_t cols, float scale, float shift) {
    const float factor = 1.0F / sum_of_exp(x, cols, scale, shift);
#pragma omp simd
    for (std::int64_t j = 0; j < cols; ++j) y[j] = to_bf16(exp_of(to_float(x[j]) * scale - shift) * factor);
}

}  // namespace

template <class T>
void softmax(const T* x, T* y, std::int64_t rows, std::int64_t cols, float scale, int threads) {
    WB_EXPECT(rows >= 0 && cols >= 0 && threads >= 1);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (std::int64_t r = 0; r < rows; ++r) {
        const T* from = x + r * cols;
        const float shift = (scale < 0 ? row_min(from, cols) : row_max(from, cols)) * scale;
        write_softmax(from, y + r * cols, cols, scale, shift);
    }
}

template void softmax(const float*, float*, std::int64_t, std::int64_t, float, int);
template void softmax(const bf16*, bf16*, std::int64_t, std::int64_t, float, int);

}  // namespace wb::cpu
