#include "core/op.hpp"

#include <algorithm>
#include <array>

#include "core/op_kinds.hpp"

namespace wb {

std::string_view name(OpKind kind) { return kinds[static_cast<std::size_t>(kind)].name; }

std::string_view name(CollectiveKind kind) {
    static constexpr std::array<std::string_view, 7> names{"none",     "allreduce", "allgather", "reduce_scatter",
                                                           "alltoall", "broadcast", "send_recv"};
    return names[static_cast<std::size_t>(kind)];
}

std::int64_t elements(const Shape& shape) {
    std::int64_t n = 1;
    for (std::int64_t extent : shape) n *= extent;
    return n;
}

double visible_pairs(const Attributes& a) {
    const double q = static_cast<double>(a.seq), kv = static_cast<double>(a.seq_kv);
    if (!a.causal && a.window == 0) return q * kv;
    double pairs = 0;
    for (std::int64_t i = 0; i < a.seq; ++i) {
        const std::int64_t last = a.causal || a.window > 0 ? std::min(a.seq_kv, i + 1 + a.seq_kv - a.seq) : a.seq_kv;
        const std::int64_t reach = a.window > 0 ? std::min(last, a.window) : last;
        pairs += static_cast<double>(std::max<std::int64_t>(0, reach));
    }
    return pairs;
}

Work work(OpKind kind, std::span<const Operand> in, const Attributes& a) {
    const auto size = [&](int i) { return static_cast<double>(elements(*in[i].shape)); };
    const auto dim = [&](int i, int d) {
        return static_cast<double>(in[i].shape->at(d < 0 ? in[i].shape->size() + d : d));
    };
    const auto vector = [](double n) { return Work{Flops(0), Flops(n)}; };
    switch (kind) {
        case OpKind::matmul: {
            const double k = dim(0, a.trans_a ? -2 : -1), n = dim(1, a.trans_b ? -2 : -1), mk = size(0);
            return {Flops(2 * mk * n), Flops(in.size() > 2 ? mk / k * n : 0)};
        }
        case OpKind::grouped_matmul: {
            const double n = a.trans_a ? dim(1, 1) : dim(1, a.trans_b ? 1 : 2);
            return {Flops(2 * size(0) * n), Flops(0)};
        }
        case OpKind::head_matmul: return {Flops(2 * dim(0, 0) * size(1)), Flops(0)};
        // Forward q k^T and p v; scale, subtract, exp and sum for each visible pair. Backward p again, dp, dq, dk on
        // head_dim and dv on v_head_dim: 5 products instead of 2.
        case OpKind::attention:
        case OpKind::attention_backward: {
            const double pairs = visible_pairs(a) * static_cast<double>(a.batch * a.heads);
            const double d = static_cast<double>(a.head_dim), dv = static_cast<double>(a.v_head_dim);
            if (kind == OpKind::attention) return {Flops(2 * pairs * (d + dv)), Flops(4 * pairs)};
            return {Flops(2 * pairs * (3 * d + 2 * dv)), Flops(6 * pairs)};
        }
        case OpKind::layernorm: return vector(8 * size(0));
        case OpKind::layernorm_backward: return vector(14 * size(0));
        case OpKind::rmsnorm: return vector(4 * size(0));
        case OpKind::rmsnorm_backward: return vector(10 * size(0));
        case OpKind::softmax: return vector(5 * size(0));
        case OpKind::softmax_backward: return vector(4 * size(0));
        case OpKind::gelu: return vector(8 * size(0));
        case OpKind::gelu_backward: return vector(14 * size(0));
        case OpKind::silu_mul: return vector(5 * size(0));
        case OpKind::silu_mul_backward: return vector(10 * size(0));
        case OpKind::rope: return vector(3 * size(0) * static_cast<double>(a.heads * a.rotary_dim) / dim(0, -1));
        case OpKind::add:
        case OpKind::position_embed:
        case OpKind::sum_rows:
        case OpKind::position_embed_backward:
        case OpKind::embed_backward: return vector(size(0));
        case OpKind::topk_gate: return vector(5 * size(0));
        case OpKind::topk_gate_backward: return vector(4 * size(1));
        case OpKind::moe_combine: return vector(2 * size(0));
        case OpKind::moe_combine_backward: return vector(3 * size(1));
        case OpKind::cross_entropy: return vector(4 * size(0));
        case OpKind::cross_entropy_backward: return vector(3 * size(0));
        case OpKind::adamw: return vector(14 * size(0));
        default: return vector(0);  // moves data only
    }
}

}  // namespace wb
