#pragma once

#include <cstdint>

#include "core/generation.hpp"
#include "core/op.hpp"
#include "kernels/cuda/fill.hpp"
#include "kernels/cuda/runtime.hpp"

namespace wb::cuda {

// Own kernels. Each call puts its work into `stream` and returns at once. Pointers are of device memory; void ones hold
// elements of `type` (f32, bf16 or f16). Matrices are [rows, columns], row-major and dense.

struct Matrix {
    std::int64_t rows, columns;
    constexpr std::int64_t size() const { return rows * columns; }
};

// elements.cu: memory is read and written once.
void fill(Stream stream, DType type, void* to, std::int64_t count, const FillRule& rule);
void add(Stream stream, DType type, const void* x, const void* u, void* y, std::int64_t n);
void gelu(Stream stream, DType type, const void* x, void* y, std::int64_t n, bool tanh_form);
void gelu_backward(Stream stream, DType type, const void* dy, const void* x, void* dx, std::int64_t n, bool tanh_form);
void silu_mul(Stream stream, DType type, const void* gate, const void* up, void* y, std::int64_t n);
void silu_mul_backward(Stream stream, DType type, const void* dy, const void* gate, const void* up, void* dgate,
                       void* dup, std::int64_t n);
/// Adds one to *step and writes 1 / (1 - beta1^step) and 1 / (1 - beta2^step) for each of `pairs` pairs of betas.
void begin_step(Stream stream, std::int64_t* step, const double* betas, float* corrections, int pairs);
struct Update {
    float rate, beta1, beta2, eps, decay;
    const float* corrections;  ///< on the device: of m, of v
};
/// `type` is that of weight and gradient; `master` is null where the weight itself is f32.
void adamw(Stream stream, DType type, void* weight, const void* gradient, float* m, float* v, float* master,
           std::int64_t n, const Update& how);
/// Rows of [heads, head] features; `table` holds cosines [positions, dim / 2], then sines. Token s of a sequence stands
/// at position `first` + s, less what is `missing` (null: nothing; on the device).
struct Rotation {
    std::int64_t seq, heads, head, dim, offset, positions, first;
    const std::int64_t* missing;
    bool interleaved;
};
void rope(Stream stream, DType type, const void* x, const float* table, void* y, std::int64_t rows,
          const Rotation& how);
/// [rows, columns] of 1-byte elements into [to.rows, to.columns] >= it, or its transpose, padded with zeros.
void pack_bytes(Stream stream, const void* from, Matrix shape, bool transposed, void* to, Matrix padded);
/// The first [shape] of a padded matrix of elements of `bytes` bytes (2 or 4).
void unpack(Stream stream, int bytes, const void* from, Matrix padded, void* to, Matrix shape);

// rows.cu: one block for each row.
struct Norm {
    Matrix shape;
    float eps;
    bool centred;  ///< layernorm; else rmsnorm, without beta
};
void norm(Stream stream, DType type, const void* x, const void* gamma, const void* beta, void* y, const Norm& how);
/// dgamma and dbeta (null for rmsnorm) too. `scratch`: norm_scratch() floats.
void norm_backward(Stream stream, DType type, const void* dy, const void* x, const void* gamma, void* dx, void* dgamma,
                   void* dbeta, float* scratch, const Norm& how);
std::int64_t norm_scratch(const Matrix& shape);
/// y [columns] = sum over rows. `scratch`: column_scratch() floats.
void sum_rows(Stream stream, DType type, const void* x, void* y, float* scratch, const Matrix& shape);
std::int64_t column_scratch(const Matrix& shape);
void softmax(Stream stream, DType type, const void* x, void* y, const Matrix& shape);
void softmax_backward(Stream stream, DType type, const void* dy, const void* y, void* dx, const Matrix& shape);
/// Of a shard of the columns from `offset`; with `parts` [rows, 3] instead of loss and logarithm of the sum.
void cross_entropy(Stream stream, DType type, const void* logits, const std::int32_t* target, float* loss, float* lse,
                   float* parts, std::int64_t offset, const Matrix& shape);
void cross_entropy_backward(Stream stream, DType type, const void* logits, const std::int32_t* target, const float* lse,
                            void* dx, std::int64_t offset, float scale, const Matrix& shape);
void cross_entropy_join(Stream stream, const float* parts, float* loss, float* lse, std::int64_t rows,
                        std::int64_t ranks);

// tables.cu: rows moved by index.
void embed(Stream stream, DType type, const std::int32_t* token, const void* table, void* y, std::int64_t tokens,
           const Matrix& table_shape, std::int64_t offset);
/// `links`: table rows + tokens of int. Adds to the table if `accumulate`, else rows without a token become zero.
void embed_backward(Stream stream, DType type, const void* dy, const std::int32_t* token, void* table, int* links,
                    std::int64_t tokens, const Matrix& table_shape, std::int64_t offset, bool accumulate);
/// `missing`, null for nothing, is taken from `offset` on the device.
void position_embed(Stream stream, DType type, const void* x, const void* table, void* y, const Matrix& shape,
                    std::int64_t seq, std::int64_t offset, const std::int64_t* missing);
void position_embed_backward(Stream stream, DType type, const void* dy, void* table, const Matrix& shape,
                             std::int64_t table_rows, std::int64_t seq, std::int64_t offset);
/// Row r of `to` = row of `from` by the rule; see tables.cu.
struct RowMove {
    std::int64_t group, from_group, from_first, to_group, to_first;
    const std::int64_t* missing = nullptr;  ///< on the device, taken from to_first
};
void move_rows(Stream stream, DType type, const void* from, void* to, const Matrix& moved, const RowMove& rule);
void concat_heads(Stream stream, DType type, const void* own, const void* common, void* y, std::int64_t rows,
                  std::int64_t heads, std::int64_t d, std::int64_t extra);
void concat_heads_backward(Stream stream, DType type, const void* dy, void* own, void* common, std::int64_t rows,
                           std::int64_t heads, std::int64_t d, std::int64_t extra);
/// Columns [first + k, first + k + extra) of every group of `wide` columns, copied between matrices of two widths.
struct ColumnMove {
    std::int64_t groups, extra, from_wide, from_first, to_wide, to_first;
};
void move_columns(Stream stream, DType type, const void* from, void* to, std::int64_t rows, const ColumnMove& rule);

// choices.cu: choices of tokens and experts, and rows sent to experts
/// By row of logits [rows, columns], of ids from `first` on: the best id and its score, as TokenChoice has them; `keys`
/// on the device, one a row, null without a temperature.
void choose(Stream stream, DType type, const void* logits, BestToken* best, const Matrix& shape, std::int64_t first,
            const std::uint64_t* keys, double temperature);

struct Gate {
    std::int64_t tokens, experts, topk;
    float scale;
    bool sigmoid;
};
void topk_gate(Stream stream, DType type, const void* logits, std::int32_t* index, float* gate, const Gate& how);
void topk_gate_backward(Stream stream, DType type, const float* dgate, const void* logits, const std::int32_t* index,
                        const float* gate, void* dlogits, const Gate& how);
/// Rows by expert, and within an expert by token and slot: first [experts + 1], source [entries], place [entries].
struct ExpertOrder {
    std::int32_t *first, *source, *place;
};
void order_by_expert(Stream stream, const std::int32_t* index, std::int64_t entries, std::int64_t experts,
                     const ExpertOrder& order);
void dispatch(Stream stream, DType type, const void* x, void* y, const ExpertOrder& order, const Matrix& y_shape,
              std::int64_t topk);
/// `gate` null: weights of one.
void combine(Stream stream, DType type, const void* x, const float* gate, void* y, const ExpertOrder& order,
             const Matrix& y_shape, std::int64_t topk);
void combine_backward(Stream stream, DType type, const void* dy, const void* x, const float* gate, void* dx,
                      float* dgate, const ExpertOrder& order, const Matrix& x_shape, std::int64_t topk);

// grouped.cu
/// y rows of expert e = x rows of e times w[e] [k, n] (or [n, k]); or, `gradient`, y[e] [k, n] = (x rows)^T w rows.
struct Grouped {
    std::int64_t rows, experts, k, n;
    bool transposed, gradient;
};
void grouped_product(Stream stream, DType type, const void* x, const void* w, void* y, const std::int32_t* first,
                     const Grouped& how);
/// The same in bf16 or f16 on matrix units.
bool has_grouped_units(DType type, const Grouped& how, const Device& device);
void grouped_product_units(Stream stream, DType type, const void* x, const void* w, void* y, const std::int32_t* first,
                           const Grouped& how);

}  // namespace wb::cuda
