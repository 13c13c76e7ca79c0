#include "models/operator_cost.hpp"

#include <algorithm>

namespace wb::cluster {
namespace {

double extent(const Graph& g, TensorId id, int from_end) {
    const Shape& s = g.tensor(id).shape;
    return static_cast<double>(s.at(s.size() - static_cast<std::size_t>(from_end)));
}

/// Weights and state are whole whatever part of the tokens is worked on.
double bytes_of(const Graph& g, const Op& op, double tokens, bool wide = false) {
    const auto moved = [&](TensorId id) {
        const Role role = g.tensor(id).role;
        return kept_bytes(g, id, wide) * (role == Role::weight || role == Role::state ? 1 : tokens);
    };
    double sum = 0;
    for (TensorId id : op.in) sum += moved(id);
    for (TensorId id : op.out) sum += moved(id);
    return sum;
}

double row_bytes(const Graph& g, TensorId id, bool wide) {
    return extent(g, id, 1) * kept_bytes(g, id, wide) / static_cast<double>(g.elements(id));
}

Product product_of(const Graph& g, const Op& op, double tokens) {
    const Attributes& a = op.attributes;
    Product p;
    p.a = g.tensor(op.in[0]).dtype;
    p.b = g.tensor(op.in[1]).dtype;
    p.c = g.tensor(op.out[0]).dtype;
    p.m = extent(g, op.in[0], a.trans_a ? 1 : 2);
    p.k = extent(g, op.in[0], a.trans_a ? 2 : 1);
    p.n = extent(g, op.in[1], a.trans_b ? 2 : 1);
    p.groups = static_cast<double>(g.elements(op.in[0])) / (p.m * p.k);
    p.shared_b = g.elements(op.in[1]) <= static_cast<std::int64_t>(p.k * p.n);
    (a.trans_a ? p.k : p.m) *= tokens;
    p.along_depth = p.m > p.n ? !a.trans_a : a.trans_b;
    return p;
}

/// Rows are dealt evenly: expert e of E multiplies its tokens by a matrix of its own.
Product grouped_of(const Graph& g, const Op& op, Share share) {
    Product p = product_of(g, op, 1);
    const double all = op.attributes.experts > 0 ? static_cast<double>(op.attributes.experts) : 1;
    const double experts = std::max(1.0, all / share.experts);
    const double rows = std::max(1.0, extent(g, op.in[0], 2) * share.tokens);
    if (op.attributes.trans_a) {  // gradient of the matrices: the tokens are what is summed over
        p.m = extent(g, op.in[0], 1);
        p.k = std::max(1.0, rows / experts);
        p.n = extent(g, op.in[1], 1);
        p.groups = experts;
    } else {
        p.groups = std::min(experts, rows);
        p.m = rows / p.groups;
    }
    p.shared_b = false;
    return p;
}

/// x [t, heads * k] times w [heads, k, n].
Product heads_of(const Graph& g, const Op& op, double tokens) {
    Product p = product_of(g, op, 1);
    p.groups = extent(g, op.in[1], 3);
    p.m = extent(g, op.in[0], 2) * tokens;
    p.k = extent(g, op.in[1], 2);
    p.n = extent(g, op.in[1], 1);
    p.shared_b = false;
    return p;
}

Kernel table(const Device& d, const Graph& g, const Op& op, double tokens, bool wide) {
    // Only the rows that are looked up move, not the table.
    double bytes = 0;
    for (TensorId id : op.out) bytes += 2 * kept_bytes(g, id, wide);
    if (op.kind == OpKind::embed_backward || op.kind == OpKind::position_embed_backward)
        bytes = 3 * kept_bytes(g, op.in[0], wide);
    Kernel out = moving(d, "gather", tokens * bytes);
    out.stored = 0.5 * out.bytes;
    return out;
}

Kernel product_kernel(const Device& d, const Graph& g, const Op& op, const Product& p) {
    Kernel out = product(d, p);
    const Role role = g.tensor(op.in[1]).role;
    if (role == Role::weight || role == Role::state)
        out.stored = (p.shared_b ? 1 : p.groups) * p.k * p.n * bits(p.b) / 8.0;
    return out;
}

Kernel new_rows(const Device& d, double bytes) {
    Kernel out = moving(d, "gather", 2 * bytes);
    out.stored = bytes;
    return out;
}

Product rounded(const Device& d, Product p, const Share& share) {
    const DType kept = d.system().native16.value_or(DType::bf16);
    if (share.wide)
        for (DType* type : {&p.a, &p.b, &p.c})
            if (bits(*type) < 16) *type = kept;
    if (share.product_type && bits(*share.product_type) < std::max(bits(p.a), bits(p.b)))
        p.a = p.b = *share.product_type;
    p.ready = share.ready;
    p.searched = share.searched;
    return p;
}

}  // namespace

double kept_bytes(const Graph& g, TensorId id, bool wide) {
    const Role role = g.tensor(id).role;
    const bool between = role != Role::weight && role != Role::state;
    return g.bytes(id).si() * (wide && between ? std::max(1.0, 16.0 / bits(g.tensor(id).dtype)) : 1);
}

std::optional<DType> product_type(const Graph& graph) {
    std::optional<DType> narrowest;
    for (const Op& op : graph.ops()) {
        if (op.kind != OpKind::matmul && op.kind != OpKind::grouped_matmul) continue;
        for (TensorId id : op.in)
            if (const Tensor& t = graph.tensor(id); t.role == Role::weight && t.shape.size() >= 2)
                if (!narrowest || bits(t.dtype) < bits(*narrowest)) narrowest = t.dtype;
    }
    return narrowest;
}

Kernel kernel_of(const Device& d, const Graph& g, const Op& op, Share share) {
    const double tokens = share.tokens;
    const bool wide = share.wide;
    using enum OpKind;
    switch (op.kind) {
        case matmul: return product_kernel(d, g, op, rounded(d, product_of(g, op, tokens), share));
        case grouped_matmul: return product_kernel(d, g, op, rounded(d, grouped_of(g, op, share), share));
        case head_matmul: return product_kernel(d, g, op, heads_of(g, op, tokens));
        case OpKind::attention:
            return cluster::attention(d, op.attributes, tokens, {g.tensor(op.in[0]).dtype, g.tensor(op.in[1]).dtype},
                                      false);
        case attention_backward:
            return cluster::attention(d, op.attributes, tokens, {g.tensor(op.in[1]).dtype, g.tensor(op.in[1]).dtype},
                                      true);
        case layernorm:
        case layernorm_backward:
        case rmsnorm:
        case rmsnorm_backward: return moving(d, "norm", bytes_of(g, op, tokens, wide), row_bytes(g, op.in[0], wide));
        case softmax:
        case softmax_backward:
        case cross_entropy:
        case cross_entropy_backward:
            return moving(d, "softmax", bytes_of(g, op, tokens, wide), row_bytes(g, op.in[0], wide));
        case embed:
        case embed_backward:
        case position_embed:
        case position_embed_backward:
        case last_rows:
        case last_rows_backward: return table(d, g, op, tokens, wide);
        case cache_write: return new_rows(d, tokens * g.bytes(op.in[1]).si());
        case silu_mul:
        case silu_mul_backward: return moving(d, "gated", bytes_of(g, op, tokens, wide));
        case rope: return moving(d, "rotation", bytes_of(g, op, tokens, wide));
        case adamw: return moving(d, "optimizer", bytes_of(g, op, 1));
        default: return moving(d, "elementwise", bytes_of(g, op, tokens, wide));
    }
}

}  // namespace wb::cluster
