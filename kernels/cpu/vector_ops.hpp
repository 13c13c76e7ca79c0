#pragma once

#include <cstdint>

#include "kernels/cpu/bf16.hpp"

/// Memory-bound operators of a transformer on row-major arrays, T = float or bf16, arithmetic in float.
/// Unless said otherwise outputs may be the inputs (same pointer), NaN propagates, and the result is the same, bit for
/// bit, for every number of threads. Sizes are in elements and must not be negative; `threads` >= 1.
namespace wb::cpu {

/// y[r, :] = softmax(scale * x[r, :]); x, y [rows, cols].
template <class T>
void softmax(const T* x, T* y, std::int64_t rows, std::int64_t cols, float scale, int threads);

/// y = (x - mean) * inv_std * gamma + beta; x, y [rows, cols], gamma, beta [cols]. mean and inv_std [rows] are kept for
/// the backward pass; either may be null.
template <class T>
void layernorm(const T* x, const T* gamma, const T* beta, T* y, float* mean, float* inv_std, std::int64_t rows,
               std::int64_t cols, float eps, int threads);
/// The mean and inv_std of layernorm alone: reading x once more is cheaper than keeping them for every layer.
template <class T>
void layernorm_statistics(const T* x, float* mean, float* inv_std, std::int64_t rows, std::int64_t cols, float eps,
                          int threads);
/// dx [rows, cols] is written; dgamma, dbeta [cols] are written. dx must not be x or dy.
template <class T>
void layernorm_backward(const T* x, const T* gamma, const float* mean, const float* inv_std, const T* dy, T* dx,
                        float* dgamma, float* dbeta, std::int64_t rows, std::int64_t cols, int threads);

/// y = x * inv_rms * gamma, inv_rms = 1 / sqrt(mean(x^2) + eps); inv_rms [rows] may be null.
template <class T>
void rmsnorm(const T* x, const T* gamma, T* y, float* inv_rms, std::int64_t rows, std::int64_t cols, float eps,
             int threads);
/// As layernorm_statistics.
template <class T>
void rmsnorm_statistics(const T* x, float* inv_rms, std::int64_t rows, std::int64_t cols, float eps, int threads);
/// As layernorm_backward.
template <class T>
void rmsnorm_backward(const T* x, const T* gamma, const float* inv_rms, const T* dy, T* dx, float* dgamma,
                      std::int64_t rows, std::int64_t cols, int threads);

enum class GeluForm {
    tanh,  ///< GPT-2: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
    erf    ///< x times the normal distribution function
};
/// x, y [n].
template <class T>
void gelu(const T* x, T* y, std::int64_t n, GeluForm form, int threads);
/// dx = dy * gelu'(x).
template <class T>
void gelu_backward(const T* x, const T* dy, T* dx, std::int64_t n, GeluForm form, int threads);

/// y = silu(g) * u; all [n].
template <class T>
void silu_mul(const T* g, const T* u, T* y, std::int64_t n, int threads);
template <class T>
void silu_mul_backward(const T* g, const T* u, const T* dy, T* dg, T* du, std::int64_t n, int threads);

/// y = a + b; all [n].
template <class T>
void add(const T* a, const T* b, T* y, std::int64_t n, int threads);
/// out[j] = sum over r of x[r, j]; out [cols] is float: it is the gradient of a bias.
template <class T>
void sum_rows(const T* x, float* out, std::int64_t rows, std::int64_t cols, int threads);

struct AdamW {
    float lr = 1e-3F, beta1 = 0.9F, beta2 = 0.999F, eps = 1e-8F, weight_decay = 0.01F;
    std::int64_t step = 1;  ///< counted from 1: corrects the bias of the moments
};
/// One step: decoupled weight decay (Loshchilov & Hutter, 2019); parameter, moments m and v [n] are updated.
void adamw(float* parameter, const float* gradient, float* m, float* v, std::int64_t n, const AdamW& how, int threads);
/// The same for a bf16 weight with an f32 master copy as parameter; the weight becomes the rounded copy.
void adamw(float* parameter, const bf16* gradient, float* m, float* v, bf16* weight, std::int64_t n, const AdamW& how,
           int threads);

}  // namespace wb::cpu
