#pragma once

#include <cstdint>

#include "core/graph.hpp"
#include "kernels/cuda/runtime.hpp"
#include "kernels/cuda/types.hpp"

namespace wb::cuda {

/// Heads of `d` features (values: `dv`) side by side in rows of tokens; `wide` features of v from head to head.
struct Attention {
    std::int64_t batch, seq, seq_kv, heads, kv_heads, d, dv, wide, window;
    bool causal;
    float scale;
    const std::int64_t* missing = nullptr;  ///< on the device: keys that a cache lacks yet; forward alone

    constexpr std::int64_t group() const { return heads / kv_heads; }
    /// The same of the keys that are there; strides stay those of the whole. On the device.
    constexpr Attention present() const {
        Attention out = *this;
        if (missing) out.seq_kv -= *missing;
        return out;
    }
    constexpr std::int64_t queries() const { return batch * heads * seq; }
    /// Keys [first_key, last_key) that query i sees, aligned at the last query and the last key.
    constexpr std::int64_t last_key(std::int64_t i) const {
        if (!causal && window == 0) return seq_kv;
        const std::int64_t past = i + 1 + seq_kv - seq;
        return past < 0 ? 0 : past > seq_kv ? seq_kv : past;
    }
    constexpr std::int64_t first_key(std::int64_t i) const {
        if (window == 0) return 0;
        const std::int64_t first = i + 1 + seq_kv - seq - window, last = last_key(i);
        return first < 0 ? 0 : first > last ? last : first;
    }
};

/// Of an op whose values are `v`.
Attention attention_of(const Attributes& a, const Tensor& v);

struct AttentionOperands {
    const void *q, *k, *v;
    void* y;
    float* lse;  ///< [batch * heads, seq], natural logarithm of the sum of exponentials
};
struct AttentionGradients {
    const void *dy, *q, *k, *v, *y;
    const float* lse;
    void *dq, *dk, *dv;
    float* delta;  ///< scratch, [batch * heads, seq]
};

/// Any type and any width up to most_width: one warp for each query, without matrix units.
constexpr std::int64_t most_width = 640;
void attention_general(Stream stream, DType type, const AttentionOperands& p, const Attention& how);
void attention_general_backward(Stream stream, DType type, const AttentionGradients& p, const Attention& how);

/// bf16 or f16 with d = dv = 64, 128 or 256 on matrix units: tiles of queries against tiles of keys, online softmax
/// (Dao 2023, FlashAttention-2).
bool has_tiled(DType type, const Attention& how);
void attention_tiled(Stream stream, DType type, const AttentionOperands& p, const Attention& how);
bool has_tiled_backward(DType type, const Attention& how);
void attention_tiled_backward(Stream stream, DType type, const AttentionGradients& p, const Attention& how);

/// bf16 or f16 with d = dv = 64, 128 or 256, on the matrix units that four warps drive together
/// (compute capability 9.0): one warpgroup fetches keys and values by bulk copies, the others compute, each with the
/// softmax of one tile beside the products of the next (Shah et al. 2024, FlashAttention-3).
bool has_warpgroup(DType type, const Attention& how, const Device& device);
void attention_warpgroup(Stream stream, DType type, const AttentionOperands& p, const Attention& how);

/// The same backward, where has_warpgroup(), in five products: a block has the keys of a tile; dq is summed in f32 in
/// device memory, block after block in the order of keys. `scratch`: warpgroup_backward_scratch() floats.
std::int64_t warpgroup_backward_scratch(const Attention& how);
void attention_warpgroup_backward(Stream stream, DType type, const AttentionGradients& p, float* scratch,
                                  const Attention& how);

/// Few queries against many keys: the keys are cut into `splits` that go to blocks of their own, and are joined
/// (Flash-Decoding, Dao et al. 2023). Bound by memory. `parts`: decode_scratch() floats.
bool has_decode(DType type, const Attention& how);
std::int64_t decode_splits(const Attention& how, int processors);
std::int64_t decode_scratch(const Attention& how, std::int64_t splits);
void attention_decode(Stream stream, DType type, const AttentionOperands& p, float* parts, std::int64_t splits,
                      const Attention& how);

}  // namespace wb::cuda
