#include <algorithm>
#include <cmath>
#include <memory>

#include "core/error.hpp"
#include "kernels/cpu/vector_loop.hpp"
#include "kernels/cpu/vector_ops.hpp"

namespace wb::cpu {

namespace {

constexpr std::int64_t columns = 512;  // whose sums one thread adds up at a time

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

/// dx = inv (dy gamma - a - xhat b), a and b the means of dy gamma and of dy gamma xhat (a = 0 for rmsnorm). Adds
/// dy xhat to dgamma and, where centred, dy to dbeta.
template <bool centred, class T>
void row_backward(const T* x, const T* gamma, float mean, float inv, const T* dy, T* dx, float* dgamma, float* dbeta,
                  std::int64_t cols) {
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
        const Vec d = at.load(dy), hat = (at.load(x) - mean) * inv;
        at.store(dx, inv * (d * at.load(gamma) - a - hat * b));
        at.store(dgamma, at.load(static_cast<const float*>(dgamma)) + d * hat);
        if constexpr (centred) at.store(dbeta, at.load(static_cast<const float*>(dbeta)) + d);
    });
}

/// Every row is read once: blocks of rows, whose size does not depend on the threads, have sums of their own, which are
/// added in order. dbeta: where centred.
template <bool centred, class T>
void backward(const T* x, const T* gamma, const float* mean, const float* inv, const T* dy, T* dx, float* dgamma,
              float* dbeta, std::int64_t rows, std::int64_t cols, int threads) {
    WB_EXPECT(rows >= 0 && cols >= 0 && threads >= 1);
    WB_EXPECT(dx != x && dx != dy);
    const std::int64_t block = std::clamp<std::int64_t>(rows / 16, 8, 64), blocks = (rows + block - 1) / block;
    const std::int64_t each = (centred ? 2 : 1) * cols;
    const std::unique_ptr<float[]> sums(new float[static_cast<std::size_t>(blocks * each)]);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
#pragma omp for schedule(static)
        for (std::int64_t n = 0; n < blocks; ++n) {
            float *scales = sums.get() + n * each, *shifts = scales + cols;
            std::fill_n(scales, each, 0.0F);
            for (std::int64_t r = n * block; r < std::min(rows, (n + 1) * block); ++r)
                row_backward<centred>(x + r * cols, gamma, centred ? mean[r] : 0.0F, inv[r], dy + r * cols,
                                      dx + r * cols, scales, shifts, cols);
        }
#pragma omp for schedule(static)
        for (std::int64_t j = 0; j < cols; j += columns) {
            const std::int64_t count = std::min(columns, cols - j);
            std::fill_n(dgamma + j, count, 0.0F);
            if constexpr (centred) std::fill_n(dbeta + j, count, 0.0F);
            for (std::int64_t n = 0; n < blocks; ++n)
                each_vector(j, j + count, [&](const auto& at, int) {
                    const float* from = sums.get() + n * each;
                    at.store(dgamma, at.load(static_cast<const float*>(dgamma)) + at.load(from));
                    if constexpr (centred)
                        at.store(dbeta, at.load(static_cast<const float*>(dbeta)) + at.load(from + cols));
                });
        }
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
