#pragma once

#include "kernels/reference/call.hpp"

namespace wb::reference {

// One function an operator, by file. Each reads call.in and writes call.out, whose shapes `infer` has checked.

void matmul(const Call& call);  // matmul.cpp
void grouped_matmul(const Call& call);
void head_matmul(const Call& call);

void attention(const Call& call);  // attention.cpp
void attention_backward(const Call& call);

void layernorm(const Call& call);  // norms.cpp
void layernorm_backward(const Call& call);
void rmsnorm(const Call& call);
void rmsnorm_backward(const Call& call);

void softmax(const Call& call);  // activations.cpp
void softmax_backward(const Call& call);
void gelu(const Call& call);
void gelu_backward(const Call& call);
void silu_mul(const Call& call);
void silu_mul_backward(const Call& call);

void rope(const Call& call);  // heads.cpp
void concat_heads(const Call& call);
void concat_heads_backward(const Call& call);

void add(const Call& call);  // tables.cpp
void sum_rows(const Call& call);
void embed(const Call& call);
void embed_backward(const Call& call);
void position_embed(const Call& call);
void position_embed_backward(const Call& call);
void last_rows(const Call& call);
void last_rows_backward(const Call& call);
void cache_write(const Call& call);

void topk_gate(const Call& call);  // experts.cpp
void topk_gate_backward(const Call& call);
void moe_dispatch(const Call& call);
void moe_combine(const Call& call);
void moe_combine_backward(const Call& call);

void cross_entropy(const Call& call);  // loss.cpp
void cross_entropy_backward(const Call& call);
void cross_entropy_join(const Call& call);

void adamw(const Call& call);  // update.cpp

/// Runs any op but a collective among several ranks, which needs the other ranks' data.
void apply(const Call& call);  // operators.cpp

}  // namespace wb::reference
