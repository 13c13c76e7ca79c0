#include <cmath>

#include "core/error.hpp"
#include "kernels/cpu/vector_math.hpp"
#include "kernels/cpu/vector_ops.hpp"

namespace wb::cpu {

namespace {

template <class T>
float row_max(const T* x, std::int64_t cols) {
    float top = -INFINITY;
#pragma omp simd reduction(max : top)
    for (std::int64_t j = 0; j < cols; ++j) {
        const float value = to_float(x[j]);
        top = value > top ? value : top;
    }
    return top;
}

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

template <class T>
float sum_of_exp(const T* x, std::int64_t cols, float scale, float shift) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t j = 0; j < cols; ++j) sum += exp_of(to_float(x[j]) * scale - shift);
    return sum;
}

/// y = e^(scale x - shift) / (their sum) * weight. A float row holds the exponentials until the sum is known; a bf16
/// row would round them twice, so they are computed again. Returns weight / (their sum).
float write_softmax(const float* x, float* y, std::int64_t cols, float scale, float shift, float weight) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t j = 0; j < cols; ++j) {
        const float e = exp_of(x[j] * scale - shift);
        y[j] = e;
        sum += e;
    }
    const float factor = weight / sum;
#pragma omp simd
    for (std::int64_t j = 0; j < cols; ++j) y[j] *= factor;
    return factor;
}

float write_softmax(const bf16* x, bf16* y, std::int64_t cols, float scale, float shift, float weight) {
    const float factor = weight / sum_of_exp(x, cols, scale, shift);
#pragma omp simd
    for (std::int64_t j = 0; j < cols; ++j) y[j] = to_bf16(exp_of(to_float(x[j]) * scale - shift) * factor);
    return factor;
}

void check_targets(const std::int32_t* target, std::int64_t rows, std::int64_t classes) {
    for (std::int64_t r = 0; r < rows; ++r) WB_EXPECT(target[r] >= 0 && target[r] < classes);
}

}  // namespace

template <class T>
void softmax(const T* x, T* y, std::int64_t rows, std::int64_t cols, float scale, int threads) {
    WB_EXPECT(rows >= 0 && cols >= 0 && threads >= 1);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (std::int64_t r = 0; r < rows; ++r) {
        const T* from = x + r * cols;
        const float shift = (scale < 0 ? row_min(from, cols) : row_max(from, cols)) * scale;
        write_softmax(from, y + r * cols, cols, scale, shift, 1.0F);
    }
}

template <class T>
void cross_entropy(const T* logits, const std::int32_t* target, float* loss, std::int64_t rows, std::int64_t classes,
                   int threads) {
    WB_EXPECT(rows >= 0 && classes >= 1 && threads >= 1);
    check_targets(target, rows, classes);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (std::int64_t r = 0; r < rows; ++r) {
        const T* row = logits + r * classes;
        const float top = row_max(row, classes);
        loss[r] = std::log(sum_of_exp(row, classes, 1.0F, top)) + (top - to_float(row[target[r]]));
    }
}

template <class T>
void cross_entropy_backward(const T* logits, const std::int32_t* target, T* dlogits, std::int64_t rows,
                            std::int64_t classes, float scale, int threads) {
    WB_EXPECT(rows >= 0 && classes >= 1 && threads >= 1);
    check_targets(target, rows, classes);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (std::int64_t r = 0; r < rows; ++r) {
        const T* row = logits + r * classes;
        T* to = dlogits + r * classes;
        const float top = row_max(row, classes);
        const float hit = exp_of(to_float(row[target[r]]) - top);  // read first: `to` may be `row`
        const float factor = write_softmax(row, to, classes, 1.0F, top, scale);
        to[target[r]] = from_float<T>(hit * factor - scale);
    }
}

template void softmax(const float*, float*, std::int64_t, std::int64_t, float, int);
template void softmax(const bf16*, bf16*, std::int64_t, std::int64_t, float, int);
template void cross_entropy(const float*, const std::int32_t*, float*, std::int64_t, std::int64_t, int);
template void cross_entropy(const bf16*, const std::int32_t*, float*, std::int64_t, std::int64_t, int);
template void cross_entropy_backward(const float*, const std::int32_t*, float*, std::int64_t, std::int64_t, float, int);
template void cross_entropy_backward(const bf16*, const std::int32_t*, bf16*, std::int64_t, std::int64_t, float, int);

}  // namespace wb::cpu
