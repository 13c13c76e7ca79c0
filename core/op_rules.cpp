#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/error.hpp"
#include "core/op_kinds.hpp"

namespace wb {
namespace {

/// The operands of one op under its rule: every check names the op.
class Checker {
public:
    Checker(OpKind kind, const std::string& op, std::span<const Operand> in, const Attributes& attributes)
        : a(attributes), kind_(kind), op_(op), in_(in) {
        const KindRow& row = kinds[static_cast<std::size_t>(kind)];
        const int n = static_cast<int>(in.size());
        if (n < row.min_inputs || n > row.max_inputs)
            fail(fmt::format("has {} inputs, needs {} to {}", n, row.min_inputs, row.max_inputs), "", "");
    }

    const Shape& shape(int i) const { return *in_[i].shape; }
    DType dtype(int i) const { return in_[i].dtype; }
    bool has(int i) const { return static_cast<std::size_t>(i) < in_.size(); }
    std::int64_t dim(int i, int d) const { return shape(i).at(d < 0 ? shape(i).size() + d : d); }
    std::int64_t rows(int i) const { return elements(shape(i)) / dim(i, -1); }

    [[noreturn]] void fail(std::string problem, std::string why, std::string hint) const {
        throw Error({fmt::format("{} \"{}\"", name(kind_), op_), std::move(problem), std::move(why), std::move(hint)});
    }
    void rank(int i, std::size_t lowest, std::size_t highest = 0) const {
        if (highest == 0) highest = lowest;
        if (shape(i).size() < lowest || shape(i).size() > highest)
            fail(fmt::format("input {} has shape [{}]", i, fmt::join(shape(i), ", ")),
                 fmt::format("it must have {} dimensions", lowest), "");
    }
    void equal(std::int64_t found, std::int64_t wanted, std::string_view what) const {
        if (found != wanted) fail(fmt::format("{} is {}, must be {}", what, found, wanted), "shapes do not match", "");
    }
    void same_shape(int i, int j) const {
        if (shape(i) != shape(j))
            fail(fmt::format("inputs {} and {} have shapes [{}] and [{}]", i, j, fmt::join(shape(i), ", "),
                             fmt::join(shape(j), ", ")),
                 "they must be equal", "");
    }
    void vector_of(int i, std::int64_t n) const {
        rank(i, 1);
        equal(dim(i, 0), n, fmt::format("length of input {}", i));
    }
    OutputRule like(int i) const { return {shape(i), dtype(i)}; }

    const Attributes& a;

private:
    OpKind kind_;
    const std::string& op_;
    std::span<const Operand> in_;
};

using Rules = std::vector<OutputRule>;

/// Products of 8-bit numbers do not fit 8 bits: matrix units return them wider.
DType product_type(DType t) {
    if (t == DType::int8) return DType::int32;
    return bits(t) == 8 ? DType::any16 : t;
}

Rules infer_matmul(const Checker& c) {
    c.rank(0, 2, 8);
    c.rank(1, 2, 8);
    const int m_dim = c.a.trans_a ? -1 : -2, k_dim = c.a.trans_a ? -2 : -1;
    const std::int64_t m = c.dim(0, m_dim), k = c.dim(0, k_dim);
    const std::int64_t n = c.dim(1, c.a.trans_b ? -2 : -1);
    c.equal(c.dim(1, c.a.trans_b ? -1 : -2), k, "k of the second matrix");
    Shape out(c.shape(0).begin(), c.shape(0).end() - 2);
    if (c.shape(1).size() > 2 && Shape(c.shape(1).begin(), c.shape(1).end() - 2) != out)
        c.fail("the batch dimensions of the two matrices differ", "each matrix of one meets one of the other", "");
    if (c.has(2)) c.vector_of(2, n);
    out.push_back(m);
    out.push_back(n);
    return {{out, product_type(c.dtype(0))}};
}

Rules infer_grouped(const Checker& c) {
    c.rank(0, 2);
    c.equal(c.dim(0, 0), elements(c.shape(2)), "rows (one for each token and chosen expert)");
    if (c.a.trans_a) {
        c.rank(1, 2);
        c.equal(c.dim(1, 0), c.dim(0, 0), "rows of the second matrix");
        return {{{c.a.experts, c.dim(0, 1), c.dim(1, 1)}, c.dtype(0)}};
    }
    c.rank(1, 3);
    c.equal(c.dim(1, 0), c.a.experts, "number of experts");
    c.equal(c.dim(1, c.a.trans_b ? 2 : 1), c.dim(0, 1), "k of the expert matrices");
    const std::int64_t n = c.dim(1, c.a.trans_b ? 1 : 2);
    return {{{c.dim(0, 0), n}, c.dtype(0)}};
}

/// x [t, heads * (k + p)] times w [heads, k, n], head by head; the last p features of each head pass unchanged.
Rules infer_head_matmul(const Checker& c) {
    c.rank(0, 2);
    c.rank(1, 3);
    c.equal(c.dim(1, 0), c.a.heads, "matrices (one a head)");
    c.equal(c.dim(0, 1), c.a.heads * (c.dim(1, 1) + c.a.rotary_dim), "columns of x (heads * features)");
    return {{{c.dim(0, 0), c.a.heads * (c.dim(1, 2) + c.a.rotary_dim)}, c.dtype(0)}};
}

void check_attention(const Checker& c, int q, int k, int v) {
    for (int i : {q, k, v}) c.rank(i, 2);
    const Attributes& a = c.a;
    if (a.heads < 1 || a.kv_heads < 1 || a.heads % a.kv_heads != 0)
        c.fail(fmt::format("{} heads cannot share {} key-value heads", a.heads, a.kv_heads),
               "heads must be a multiple of kv_heads", "");
    c.equal(c.dim(q, 0), a.batch * a.seq, "rows of q (batch * seq_q)");
    c.equal(c.dim(k, 0), a.batch * a.seq_kv, "rows of k (batch * seq_kv)");
    c.equal(c.dim(v, 0), a.batch * a.seq_kv, "rows of v (batch * seq_kv)");
    c.equal(c.dim(q, 1), a.heads * a.head_dim, "columns of q (heads * head_dim)");
    c.equal(c.dim(k, 1), a.kv_heads * a.head_dim, "columns of k (kv_heads * head_dim)");
    if (a.shared_kv && a.kv_heads != 1)
        c.fail("shared keys and values have more than one head", "the values are the first features of one key", "");
    c.equal(c.dim(v, 1), a.kv_heads * (a.shared_kv ? a.head_dim : a.v_head_dim),
            "columns of v (kv_heads * v_head_dim)");
}

Rules infer_attention(const Checker& c) {
    check_attention(c, 0, 1, 2);
    const Attributes& a = c.a;
    return {{{a.batch * a.seq, a.heads * a.v_head_dim}, c.dtype(0)}, {{a.batch * a.heads, a.seq}, DType::f32}};
}

Rules infer_norm(const Checker& c, bool backward, bool beta) {
    const int x = backward ? 1 : 0;
    if (c.a.heads < 1 || c.dim(x, -1) % c.a.heads != 0)
        c.fail(fmt::format("{} features are not {} heads", c.dim(x, -1), c.a.heads), "every head is normalised alike",
               "");
    c.vector_of(x + 1, c.dim(x, -1) / c.a.heads);
    if (backward) {
        c.same_shape(0, 1);
        Rules out{c.like(1), c.like(2)};
        if (beta) out.push_back(c.like(2));
        return out;
    }
    if (beta) c.vector_of(2, c.dim(0, -1) / c.a.heads);
    return {c.like(0)};
}

Rules infer_table(OpKind kind, const Checker& c) {
    switch (kind) {
        case OpKind::embed:
            c.rank(0, 1);
            c.rank(1, 2);
            return {{{c.dim(0, 0), c.dim(1, 1)}, c.dtype(1)}};
        case OpKind::embed_backward:
            if (c.a.accumulate) return {{c.shape(2), c.dtype(2), 2}};
            return {{{c.a.rows, c.dim(0, 1)}, c.dtype(0)}};
        case OpKind::position_embed:
            c.equal(c.dim(0, 1), c.dim(1, 1), "features");
            if (c.a.offset + c.a.seq > c.dim(1, 0))
                c.fail(
                    fmt::format("position {} is past the {} learned positions", c.a.offset + c.a.seq - 1, c.dim(1, 0)),
                    "the model has no embedding for it", "Use a shorter sequence.");
            return {c.like(0)};
        case OpKind::position_embed_backward:
        case OpKind::last_rows_backward: return {{{c.a.rows, c.dim(0, 1)}, c.dtype(0)}};
        default:  // last_rows
            c.equal(c.dim(0, 0), c.a.batch * c.a.seq, "rows (batch * seq)");
            return {{{c.a.batch, c.dim(0, 1)}, c.dtype(0)}};
    }
}

Rules infer_experts(OpKind kind, const Checker& c) {
    const Attributes& a = c.a;
    switch (kind) {
        case OpKind::topk_gate:
            c.equal(c.dim(0, 1), a.experts, "columns (experts)");
            if (a.topk < 1 || a.topk > a.experts)
                c.fail(fmt::format("topk is {} of {} experts", a.topk, a.experts), "it must be 1 to experts", "");
            return {{{c.dim(0, 0), a.topk}, DType::int32}, {{c.dim(0, 0), a.topk}, DType::f32}};
        case OpKind::topk_gate_backward: return {c.like(1)};
        case OpKind::moe_dispatch: return {{{c.dim(0, 0) * a.topk, c.dim(0, 1)}, c.dtype(0)}};
        case OpKind::moe_combine:
            c.equal(c.dim(0, 0), elements(c.shape(1)), "rows (tokens * topk)");
            return {{{c.dim(0, 0) / a.topk, c.dim(0, 1)}, c.dtype(0)}};
        default: return {c.like(1), {c.shape(3), DType::f32}};  // moe_combine_backward
    }
}

Rules infer_loss(OpKind kind, const Checker& c) {
    if (kind == OpKind::cross_entropy_join) {
        const std::int64_t rows = c.dim(0, 0) / c.a.ranks;
        return {{{rows}, DType::f32}, {{rows}, DType::f32}};
    }
    c.rank(0, 2);
    c.vector_of(1, c.dim(0, 0));
    if (kind == OpKind::cross_entropy_backward) return {c.like(0)};
    const std::int64_t rows = c.dim(0, 0);
    if (c.a.ranks > 1) return {{{rows, 3}, DType::f32}};  // per row: maximum, sum of exponentials, logit of the target
    return {{{rows}, DType::f32}, {{rows}, DType::f32}};
}

Rules infer_in_place(OpKind kind, const Checker& c) {
    if (kind == OpKind::cache_write) {
        const Attributes& a = c.a;
        c.equal(c.dim(0, 0), a.batch * a.seq_kv, "rows of the cache (batch * capacity)");
        c.equal(c.dim(1, 0), a.batch * a.seq, "rows written (batch * tokens)");
        c.equal(c.dim(1, 1), c.dim(0, 1), "features");
        if (a.offset + a.seq > a.seq_kv)
            c.fail(fmt::format("positions up to {} do not fit a cache of {}", a.offset + a.seq, a.seq_kv),
                   "the cache would overflow", "");
        return {{c.shape(0), c.dtype(0), 0}};
    }
    Rules out{{c.shape(0), c.dtype(0), 0}, {c.shape(2), c.dtype(2), 2}, {c.shape(3), c.dtype(3), 3}};
    for (int i = 1; c.has(i); ++i) c.same_shape(0, i);
    if (c.has(4)) out.push_back({c.shape(4), c.dtype(4), 4});
    return out;
}

Rules infer_collective(const Checker& c) {
    OutputRule out = c.like(0);
    const std::int64_t ranks = c.a.ranks;
    if (c.a.collective == CollectiveKind::allgather) out.shape[0] *= ranks;
    if (c.a.collective == CollectiveKind::reduce_scatter) {
        if (out.shape[0] % ranks != 0)
            c.fail(fmt::format("{} elements do not divide among {} ranks", out.shape[0], ranks),
                   "every rank keeps an equal part", "");
        out.shape[0] /= ranks;
    }
    if (c.a.collective == CollectiveKind::alltoall && out.shape[0] % ranks != 0)
        c.fail(fmt::format("{} elements do not divide among {} ranks", out.shape[0], ranks),
               "every rank sends an equal part to each", "");
    return {out};
}

Rules infer_elementwise(OpKind kind, const Checker& c) {
    switch (kind) {
        case OpKind::silu_mul_backward:
            c.same_shape(0, 1);
            c.same_shape(0, 2);
            return {c.like(1), c.like(2)};
        case OpKind::softmax_backward:
        case OpKind::gelu_backward:
        case OpKind::silu_mul:
        case OpKind::add: c.same_shape(0, 1); return {c.like(0)};
        case OpKind::sum_rows: return {{{c.dim(0, -1)}, c.dtype(0)}};
        case OpKind::rope: {
            const std::int64_t columns = c.dim(0, -1), per_head = columns / std::max<std::int64_t>(1, c.a.heads);
            c.equal(c.a.heads * per_head, columns, "heads * head_dim");
            if (c.a.rotary_dim < 2 || c.a.rotary_dim % 2 || c.a.rotary_offset + c.a.rotary_dim > per_head)
                c.fail(fmt::format("{} features from {} of a head of {} cannot turn", c.a.rotary_dim, c.a.rotary_offset,
                                   per_head),
                       "rotary_dim must be even and lie inside the head", "");
            return {c.like(0)};
        }
        default: return {c.like(0)};  // softmax, gelu
    }
}

Rules infer_concat(OpKind kind, const Checker& c) {
    const Attributes& a = c.a;
    if (kind == OpKind::concat_heads) {
        c.equal(c.dim(0, 1), a.heads * a.head_dim, "columns of the first input (heads * head_dim)");
        c.equal(c.dim(1, 1), a.rotary_dim, "columns of the second input");
        return {{{c.dim(0, 0), a.heads * (a.head_dim + a.rotary_dim)}, c.dtype(0)}};
    }
    return {{{c.dim(0, 0), a.heads * a.head_dim}, c.dtype(0)}, {{c.dim(0, 0), a.rotary_dim}, c.dtype(0)}};
}

/// read: from storage into the memory of the host. load: from there into that of the units. write: from the units to
/// storage. The values stay what they are.
Rules infer_moved(const Checker& c) {
    OutputRule same = c.like(0);
    same.in_place = 0;
    return {same};
}

/// Makes a program of `rows` operators ready to run: no tensors.
Rules infer_compile(const Checker& c) {
    if (c.a.rows < 1) c.fail(fmt::format("compiles {} operators", c.a.rows), "a program has at least one", "");
    return {};
}

}  // namespace

std::vector<OutputRule> infer(OpKind kind, const std::string& op, std::span<const Operand> in, const Attributes& a) {
    const Checker c(kind, op, in, a);
    switch (kind) {
        case OpKind::matmul: return infer_matmul(c);
        case OpKind::grouped_matmul: return infer_grouped(c);
        case OpKind::head_matmul: return infer_head_matmul(c);
        case OpKind::attention: return infer_attention(c);
        case OpKind::attention_backward: check_attention(c, 1, 2, 3); return {c.like(1), c.like(2), c.like(3)};
        case OpKind::layernorm: return infer_norm(c, false, true);
        case OpKind::layernorm_backward: return infer_norm(c, true, true);
        case OpKind::rmsnorm: return infer_norm(c, false, false);
        case OpKind::rmsnorm_backward: return infer_norm(c, true, false);
        case OpKind::embed:
        case OpKind::embed_backward:
        case OpKind::position_embed:
        case OpKind::position_embed_backward:
        case OpKind::last_rows:
        case OpKind::last_rows_backward: return infer_table(kind, c);
        case OpKind::concat_heads:
        case OpKind::concat_heads_backward: return infer_concat(kind, c);
        case OpKind::topk_gate:
        case OpKind::topk_gate_backward:
        case OpKind::moe_dispatch:
        case OpKind::moe_combine:
        case OpKind::moe_combine_backward: return infer_experts(kind, c);
        case OpKind::cross_entropy:
        case OpKind::cross_entropy_backward:
        case OpKind::cross_entropy_join: return infer_loss(kind, c);
        case OpKind::cache_write:
        case OpKind::adamw: return infer_in_place(kind, c);
        case OpKind::collective: return infer_collective(c);
        case OpKind::read:
        case OpKind::load:
        case OpKind::write: return infer_moved(c);
        case OpKind::compile: return infer_compile(c);
        default: return infer_elementwise(kind, c);
    }
}

}  // namespace wb
