#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "kernels/cpu/vector_loop.hpp"
#include "kernels/cpu/vector_ops.hpp"

namespace wb::cpu {

namespace {

/// Columns one thread sums over all rows at a time: a column's order of summation does not depend on the threads.
constexpr std::int64_t block = 128;

struct Moments {
    float mean, inv_std;
};

/// Two passes over a row in cache: the one-pass formula cancels. Asks for the next row meanwhile.
template <class T>
Moments moments(const T* x, std::int64_t cols, float eps) {
    Apart sums, squares;
    each_vector(0, cols, [&](const auto& at, int k) { sums.of[k] += at.load(x); });
    const float mean = sums.sum() / static_cast<float>(cols);
    each_vector(0, cols, [&](const auto& at, int k) {
        ask_for(x + at.i, cols);
        const Vec d = at.filled(at.load(x) - mean, 0);
        squares.of[k] += d * d;
    });
    return {mean, 1.0F / std::sqrt(squares.sum() / static_cast<float>(cols) + eps)};
}

template <class T>
float inverse_rms(const T* x, std::int64_t cols, float eps) {
    Apart squares;
    each_vector(0, cols, [&](const auto& at, int k) {
        const Vec value = at.load(x);
        squares.of[k] += value * value;
    });
    return 1.0F / std::sqrt(squares.sum() / static_cast<float>(cols) + eps);
}

/// dx = inv (dy gamma - a - xhat b), a and b the means of dy gamma and of dy gamma xhat (a = 0 for rmsnorm).
template <bool centred, class T>
void row_backward(const T* x, const T* gamma, float mean, float inv, const T* dy, T* dx, std::int64_t cols) {
    Apart sum, weighted;
    each_vector(0, cols, [&](const auto& at, int k) {
        const Vec g = at.load(dy) * at.load(gamma);
        if constexpr (centred) sum.of[k] += g;
        weighted.of[k] += g * (at.load(x) - mean);
    });
    const float a = centred ? sum.sum() / static_cast<float>(cols) : 0.0F;
    const float b = weighted.sum() * inv / static_cast<float>(cols);
    each_vector(0, cols, [&](const auto& at, int) {
        ask_for(x + at.i, cols);
        ask_for(dy + at.i, cols);
        const Vec g = at.load(dy) * at.load(gamma);
        at.store(dx, inv * (g - a - (at.load(x) - mean) * (inv * b)));
    });
}

/// dgamma and, where asked for, dbeta of a block of columns.
template <bool centred, class T>
void block_backward(const T* x, const float* mean, const float* inv, const T* dy, float* dgamma, float* dbeta,
                    std::int64_t rows, std::int64_t cols, std::int64_t count) {
    float scales[block] = {}, shifts[block] = {};
    for (std::int64_t r = 0; r < rows; ++r) {
        const float m = centred ? mean[r] : 0.0F;
        const float i = inv[r];
        const T* xs = x + r * cols;
        const T* ds = dy + r * cols;
#pragma omp simd
        for (std::int64_t j = 0; j < count; ++j) {
            const float d = to_float(ds[j]);
            scales[j] += d * ((to_float(xs[j]) - m) * i);
            shifts[j] += d;
        }
    }
    std::copy_n(scales, count, dgamma);
    if (dbeta != nullptr) std::copy_n(shifts, count, dbeta);
}

template <bool centred, class T>
void backward(const T* x, const T* gamma, const float* mean, const float* inv, const T* dy, T* dx, float* dgamma,
              float* dbeta, std::int64_t rows, std::int64_t cols, int threads) {
    WB_EXPECT(rows >= 0 && cols >= 0 && threads >= 1);
    WB_EXPECT(dx != x && dx != dy);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
#pragma omp for schedule(static) nowait
        for (std::int64_t r = 0; r < rows; ++r)
            row_backward<centred>(x + r * cols, gamma, centred ? mean[r] : 0.0F, inv[r], dy + r * cols, dx + r * cols,
                                  cols);
#pragma omp for schedule(static)
        for (std::int64_t j = 0; j < cols; j += block)
            block_backward<centred>(x + j, mean, inv, dy + j, dgamma + j, dbeta == nullptr ? nullptr : dbeta + j, rows,
                                    cols, std::min(block, cols - j));
    }
}

}  // namespace

template <class T>
void layernorm(const T* x, const T* gamma, const T* beta, T* y, float* mean, float* inv_std, std::int64_t rows,
               std::int64_t cols, float eps, int threads) {
    WB_EXPECT(rows >= 0 && cols >= 0 && threads >= 1);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (std::int64_t r = 0; r < rows; ++r) {
        const T* from = x + r * cols;
        T* to = y + r * cols;
        const Moments m = moments(from, cols, eps);
        each_vector(0, cols, [&](const auto& at, int) {
            at.store(to, (at.load(from) - m.mean) * m.inv_std * at.load(gamma) + at.load(beta));
        });
        if (mean != nullptr) mean[r] = m.mean;
        if (inv_std != nullptr) inv_std[r] = m.inv_std;
    }
}

template <class T>
void layernorm_statistics(const T* x, float* mean, float* inv_std, std::int64_t rows, std::int64_t cols, float eps,
                          int threads) {
    WB_EXPECT(rows >= 0 && cols >= 0 && threads >= 1);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (std::int64_t r = 0; r < rows; ++r) {
        const Moments m = moments(x + r * cols, cols, eps);
        mean[r] = m.mean;
        inv_std[r] = m.inv_std;
    }
}

template <class T>
void layernorm_backward(const T* x, const T* gamma, const float* mean, const float* inv_std, const T* dy, T* dx,
                        float* dgamma, float* dbeta, std::int64_t rows, std::int64_t cols, int threads) {
    backward<true>(x, gamma, mean, inv_std, dy, dx, dgamma, dbeta, rows, cols, threads);
}

template <class T>
void rmsnorm(const T* x, const T* gamma, T* y, float* inv_rms, std::int64_t rows, std::int64_t cols, float eps,
             int threads) {
    WB_EXPECT(rows >= 0 && cols >= 0 && threads >= 1);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (std::int64_t r = 0; r < rows; ++r) {
        const T* from = x + r * cols;
        T* to = y + r * cols;
        const float inv = inverse_rms(from, cols, eps);
        each_vector(0, cols, [&](const auto& at, int) {
            ask_for(from + at.i, cols);
            at.store(to, at.load(from) * inv * at.load(gamma));
        });
        if (inv_rms != nullptr) inv_rms[r] = inv;
    }
}

template <class T>
void rmsnorm_statistics(const T* x, float* inv_rms, std::int64_t rows, std::int64_t cols, float eps, int threads) {
    WB_EXPECT(rows >= 0 && cols >= 0 && threads >= 1);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (std::int64_t r = 0; r < rows; ++r) inv_rms[r] = inverse_rms(x + r * cols, cols, eps);
}

template <class T>
void rmsnorm_backward(const T* x, const T* gamma, const float* inv_rms, const T* dy, T* dx, float* dgamma,
                      std::int64_t rows, std::int64_t cols, int threads) {
    backward<false>(x, gamma, nullptr, inv_rms, dy, dx, dgamma, nullptr, rows, cols, threads);
}

template void layernorm(const float*, const float*, const float*, float*, float*, float*, std::int64_t, std::int64_t,
                        float, int);
template void layernorm(const bf16*, const bf16*, const bf16*, bf16*, float*, float*, std::int64_t, std::int64_t, float,
                        int);
template void layernorm_statistics(const float*, float*, float*, std::int64_t, std::int64_t, float, int);
template void layernorm_statistics(const bf16*, float*, float*, std::int64_t, std::int64_t, float, int);
template void layernorm_backward(const float*, const float*, const float*, const float*, const float*, float*, float*,
                                 float*, std::int64_t, std::int64_t, int);
template void layernorm_backward(const bf16*, const bf16*, const float*, const float*, const bf16*, bf16*, float*,
                                 float*, std::int64_t, std::int64_t, int);
template void rmsnorm(const float*, const float*, float*, float*, std::int64_t, std::int64_t, float, int);
template void rmsnorm(const bf16*, const bf16*, bf16*, float*, std::int64_t, std::int64_t, float, int);
template void rmsnorm_statistics(const float*, float*, std::int64_t, std::int64_t, float, int);
template void rmsnorm_statistics(const bf16*, float*, std::int64_t, std::int64_t, float, int);
template void rmsnorm_backward(const float*, const float*, const float*, const float*, float*, float*, std::int64_t,
                               std::int64_t, int);
template void rmsnorm_backward(const bf16*, const bf16*, const float*, const bf16*, bf16*, float*, std::int64_t,
                               std::int64_t, int);

}  // namespace wb::cpu
