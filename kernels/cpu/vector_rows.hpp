#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/cpu/vector_loop.hpp"
#include "kernels/cpu/vector_math.hpp"

/// Reductions of one row, which softmax and the loss share.
namespace wb::cpu {

/// The largest of x times `sign`; -infinity for no columns; a NaN is passed over.
template <class T>
float row_max(const T* x, std::int64_t cols, float sign = 1.0F) {
    const Vec lowest = simd::broadcast(-INFINITY);
    Apart top{{lowest, lowest, lowest, lowest}};
    each_vector(0, cols, [&](const auto& at, int k) {
        top.of[k] = simd::max(top.of[k], at.filled(at.load(x) * sign, -INFINITY));
    });
    return top.max();
}

struct RowSum {
    float largest, sum;  ///< of x; of e^(x - largest)
};

/// Reads the row once: a block at a time, and its maximum first. A block greater than all before scales their sum down.
template <class T>
RowSum row_sum_of_exp(const T* x, std::int64_t cols) {
    constexpr std::int64_t block = 4096;
    RowSum out{-INFINITY, 0};
    for (std::int64_t from = 0; from < cols; from += block) {
        const std::int64_t count = std::min(block, cols - from);
        const float top = row_max(x + from, count);
        if (top > out.largest) {
            if (out.sum > 0) out.sum *= exp_of(out.largest - top);
            out.largest = top;
        }
        const float shift = out.largest == -INFINITY ? 0.0F : out.largest;
        Apart sums;
        each_vector(from, from + count, [&](const auto& at, int k) {
            if (at.i % (64 / std::int64_t{sizeof(T)}) == 0) ask_for(x + at.i, block);
            sums.of[k] += at.filled(exp_of(at.load(x) - shift), 0);
        });
        out.sum += sums.sum();
    }
    return out;
}

}  // namespace wb::cpu
