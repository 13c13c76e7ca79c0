#include "kernels/reference/operators.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace wb::reference {
namespace {

void copy(const Call& call) {
    WB_EXPECT(call.a.ranks == 1);
    std::copy_n(call.in[0].data, call.in[0].size(), call.out[0].data);
}

/// Values are the same wherever they lie.
void nothing(const Call&) {}

using Operator = void (*)(const Call&);

Operator find(OpKind kind) {
    switch (kind) {
        case OpKind::matmul: return matmul;
        case OpKind::grouped_matmul: return grouped_matmul;
        case OpKind::head_matmul: return head_matmul;
        case OpKind::attention: return attention;
        case OpKind::attention_backward: return attention_backward;
        case OpKind::layernorm: return layernorm;
        case OpKind::layernorm_backward: return layernorm_backward;
        case OpKind::rmsnorm: return rmsnorm;
        case OpKind::rmsnorm_backward: return rmsnorm_backward;
        case OpKind::softmax: return softmax;
        case OpKind::softmax_backward: return softmax_backward;
        case OpKind::gelu: return gelu;
        case OpKind::gelu_backward: return gelu_backward;
        case OpKind::silu_mul: return silu_mul;
        case OpKind::silu_mul_backward: return silu_mul_backward;
        case OpKind::rope: return rope;
        case OpKind::add: return add;
        case OpKind::sum_rows: return sum_rows;
        case OpKind::embed: return embed;
        case OpKind::embed_backward: return embed_backward;
        case OpKind::position_embed: return position_embed;
        case OpKind::position_embed_backward: return position_embed_backward;
        case OpKind::last_rows: return last_rows;
        case OpKind::last_rows_backward: return last_rows_backward;
        case OpKind::concat_heads: return concat_heads;
        case OpKind::concat_heads_backward: return concat_heads_backward;
        case OpKind::topk_gate: return topk_gate;
        case OpKind::topk_gate_backward: return topk_gate_backward;
        case OpKind::moe_dispatch: return moe_dispatch;
        case OpKind::moe_combine: return moe_combine;
        case OpKind::moe_combine_backward: return moe_combine_backward;
        case OpKind::cross_entropy: return cross_entropy;
        case OpKind::cross_entropy_backward: return cross_entropy_backward;
        case OpKind::cross_entropy_join: return cross_entropy_join;
        case OpKind::cache_write: return cache_write;
        case OpKind::adamw: return adamw;
        case OpKind::collective: return copy;
        case OpKind::read:
        case OpKind::load:
        case OpKind::write:
        case OpKind::compile: return nothing;
    }
    contract_failed("every kind of op is known", __FILE__, __LINE__);
}

}  // namespace

void apply(const Call& call) { find(call.kind)(call); }

}  // namespace wb::reference
