#include "kernels/cpu/runner.hpp"

namespace wb::cpu {

Runner make_runner(const Site& site) {
    switch (site.op.kind) {
        case OpKind::matmul: return make_matmul(site);
        case OpKind::head_matmul: return make_head_matmul(site);
        case OpKind::grouped_matmul: return make_grouped_matmul(site);
        case OpKind::attention:
        case OpKind::attention_backward: return make_attention(site);
        case OpKind::layernorm:
        case OpKind::layernorm_backward:
        case OpKind::rmsnorm:
        case OpKind::rmsnorm_backward: return make_norm(site);
        case OpKind::softmax:
        case OpKind::softmax_backward:
        case OpKind::gelu:
        case OpKind::gelu_backward:
        case OpKind::silu_mul:
        case OpKind::silu_mul_backward:
        case OpKind::add:
        case OpKind::sum_rows: return make_activation(site);
        case OpKind::rope:
        case OpKind::concat_heads:
        case OpKind::concat_heads_backward: return make_heads(site);
        case OpKind::embed:
        case OpKind::embed_backward:
        case OpKind::position_embed:
        case OpKind::position_embed_backward:
        case OpKind::last_rows:
        case OpKind::last_rows_backward:
        case OpKind::cache_write: return make_table(site);
        case OpKind::topk_gate:
        case OpKind::topk_gate_backward:
        case OpKind::moe_dispatch:
        case OpKind::moe_combine:
        case OpKind::moe_combine_backward: return make_experts(site);
        case OpKind::cross_entropy:
        case OpKind::cross_entropy_backward:
        case OpKind::cross_entropy_join: return make_loss(site);
        case OpKind::adamw: return make_update(site);
        case OpKind::collective: return make_collective(site);
        case OpKind::read:
        case OpKind::load:
        case OpKind::write:
        case OpKind::compile: return {[](Operands) {}, {}};  // moved by the session of the whole composition
    }
    contract_failed("every kind of op is known", __FILE__, __LINE__);
}

}  // namespace wb::cpu
