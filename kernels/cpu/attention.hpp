#pragma once

#include <cstdint>

#include "kernels/cpu/bf16.hpp"

/// Blocked attention with online softmax (Dao et al. 2022, arXiv:2205.14135; Dao 2023, arXiv:2307.08691):
/// O = softmax(scale Q K^T + mask) V without ever holding the seq_q x seq_kv scores; memory grows with seq_q + seq_kv.
namespace wb::cpu {

/// In elements; the elements of one head vector are contiguous. Any interleaving of batch, sequence and head.
struct Strides {
    std::int64_t batch, seq, head;
};

/// Query i stands at key position i + (seq_kv - seq_q): causal masks are aligned at the bottom right.
struct AttentionShape {
    std::int64_t batch, heads, kv_heads;  ///< query head h reads key/value head h / (heads / kv_heads)
    std::int64_t seq_q, seq_kv;
    std::int64_t head_dim, v_head_dim;  ///< of q and k; of v and o
    bool causal;
    std::int64_t window;  ///< keys a query sees, its own position included; 0 = all; needs causal
    float scale;
    Strides q, k, v, o;
};

/// T: float or bf16 (computed in float). lse [batch, heads, seq_q], dense, or nullptr: natural logarithm of the sum of
/// exponentials of the scaled scores. A row that sees no key gives o = 0 and lse = -infinity. NaN in, NaN out; a NaN or
/// infinity in a masked key's v may reach queries whose block holds it. The bits do not depend on `threads`.
/// Throws ContractError on a shape that contradicts itself.
template <class T>
void attention_forward(const AttentionShape& shape, const T* q, const T* k, const T* v, T* o, float* lse, int threads);

/// Gradients of the same, from o and lse as attention_forward gave them; dq, dk, dv lie as q, k, v do, d_o as o does;
/// all three are overwritten. Deterministic: the bits do not depend on `threads`.
template <class T>
void attention_backward(const AttentionShape& shape, const T* q, const T* k, const T* v, const T* o, const float* lse,
                        const T* d_o, T* dq, T* dk, T* dv, int threads);

}  // namespace wb::cpu
