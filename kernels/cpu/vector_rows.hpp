#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/cpu/bf16.hpp"
#include "kernels/cpu/vector_math.hpp"

/// Reductions of one row, which softmax and the loss share.
namespace wb::cpu {

/// -infinity for no columns; a NaN is passed over.
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

/// Sum of e^(scale x - shift).
template <class T>
float sum_of_exp(const T* x, std::int64_t cols, float scale, float shift) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t j = 0; j < cols; ++j) sum += exp_of(to_float(x[j]) * scale - shift);
    return sum;
}

}  // namespace wb::cpu
