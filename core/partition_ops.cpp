#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"
#include "core/partitioner.hpp"

namespace wb {

void Partitioner::emit(const Op& op, Ids in, Attributes a, const std::vector<Layout>& out, std::int64_t first) {
    const Ids made = editor_.op(op.kind, op.name, std::move(in), a, block_);
    for (std::size_t i = 0; i < op.out.size(); ++i) {
        const Layout l = out.size() == 1 ? out[0] : out[i];
        const bool in_place = std::find(op.in.begin(), op.in.end(), op.out[i]) != op.in.end();
        if (in_place) continue;
        editor_.at(made[i]).role = g_.tensor(op.out[i]).role;
        editor_.at(made[i]).dtype = g_.tensor(op.out[i]).dtype;
        bind(op.out[i], made[i], l, l.kind == Layout::Kind::sharded ? first : 0);
    }
}

void Partitioner::repeated(const Op& op) {
    Ids in;
    for (TensorId id : op.in) in.push_back(whole(id));
    Attributes a = op.attributes;
    a.share = a.share / ranks_;
    emit(op, in, a, {replicated});
}

bool Partitioner::columns_may_be_cut(TensorId id) const {
    if (g_.tensor(id).role == Role::output) return true;
    for (const Block& b : g_.blocks())
        for (const Carry& c : b.carries)
            if (c.out == id || c.init == id) return false;
    for (const Op& op : g_.ops())
        for (std::size_t i = 0; i < op.in.size(); ++i)
            if (op.in[i] == id && !use_accepts_columns(op, i)) return false;
    return true;
}

bool Partitioner::use_accepts_columns(const Op& op, std::size_t i) const {
    switch (op.kind) {
        case OpKind::matmul: return i == 0 && !op.attributes.trans_a ? true : op.attributes.trans_a;
        case OpKind::grouped_matmul: return i == 0 || op.attributes.trans_a;
        case OpKind::attention: return heads_divide(op.attributes) && (i == 0 || op.attributes.kv_heads > 1);
        case OpKind::head_matmul: return i == 0 && op.attributes.heads % ranks_ == 0 && columns_may_be_cut(op.out[0]);
        case OpKind::rmsnorm:
        case OpKind::rmsnorm_backward:
            return i + 1 < op.in.size() && op.attributes.heads > 1 && op.attributes.heads % ranks_ == 0 &&
                   columns_may_be_cut(op.out[0]);
        case OpKind::rope:
        case OpKind::concat_heads:
            return op.attributes.heads % ranks_ == 0 && (op.kind == OpKind::rope || i == 0) &&
                   columns_may_be_cut(op.out[0]);
        case OpKind::gelu:
        case OpKind::silu_mul: return columns_may_be_cut(op.out[0]);
        case OpKind::add: return op.attributes.adapter && columns_may_be_cut(op.out[0]);
        case OpKind::cache_write:
            return i == 0 || columns_may_be_cut(op.in[0]);  // the cache itself lies as its rows do
        case OpKind::cross_entropy:
        case OpKind::attention_backward:
        case OpKind::gelu_backward:
        case OpKind::silu_mul_backward:
        case OpKind::cross_entropy_backward:
        case OpKind::sum_rows: return true;
        default: return false;
    }
}

bool Partitioner::heads_divide(const Attributes& a) const {
    return a.heads % ranks_ == 0 && (a.kv_heads % ranks_ == 0 || a.kv_heads == 1);
}

void Partitioner::matmul(const Op& op) {
    const TensorId a = op.in[0], b = op.in[1], c = op.out[0];
    const Attributes& at = op.attributes;
    const Shape& sa = g_.tensor(a).shape;
    const Shape& sb = g_.tensor(b).shape;
    const int da = static_cast<int>(sa.size()), db = static_cast<int>(sb.size()),
              dc = static_cast<int>(g_.tensor(c).shape.size());
    const int m_a = at.trans_a ? da - 1 : da - 2, k_a = at.trans_a ? da - 2 : da - 1;
    const int k_b = at.trans_b ? db - 1 : db - 2, n_b = at.trans_b ? db - 2 : db - 1;
    const auto with_bias = [&](Ids in, bool cut, bool add) {
        if (op.in.size() > 2 && cut) in.push_back(decide(op.in[2], sharded(0)));
        if (op.in.size() > 2 && !cut) {
            const TensorId bias = whole(op.in[2]);
            if (add) in.push_back(bias);
        }
        return in;
    };
    if (da > 2 && free_choice(a) && sa[0] >= ranks_) {  // bare batch: cut the batch
        decide(a, sharded(0));
        if (free_choice(b)) decide(b, db > 2 ? sharded(0) : replicated);
    }
    if (da > 2 && is_cut(a, 0))
        return emit(op, with_bias({as_is(a), as_is(b)}, false, true), at, {sharded(0)}, first_of(a));
    if (is_cut(a, k_a)) {
        if (free_choice(b)) decide(b, sharded(k_b));
        WB_EXPECT(is_cut(b, k_b));
        return emit(op, with_bias({as_is(a), as_is(b)}, false, rank_ == 0), at, {partial});
    }
    if (is_cut(a, m_a))
        return emit(op, with_bias({as_is(a), whole(b)}, false, true), at, {sharded(dc - 2)}, first_of(a));
    if (at.adapter && at.trans_b && !is_cut(b, n_b) && summand_[index(a)] != none) {
        Attributes repeated_rows = at;  // of summands, to be summed with what the full matrix gives
        repeated_rows.share = at.share / ranks_;
        return emit(op, {summand_[index(a)], whole(b)}, repeated_rows, {partial});
    }
    if (free_choice(b) && !at.adapter && sb[n_b] >= ranks_ && columns_may_be_cut(c)) {
        whole(a);
        decide(b, sharded(n_b), 1);
    }
    if (is_cut(b, n_b))
        return emit(op, with_bias({whole(a), as_is(b)}, true, true), at, {sharded(dc - 1)}, first_of(b));
    if (is_cut(b, k_b)) {  // the other operand is whole: use the matching part of it only
        throw Error({fmt::format("tensor = {}", ranks_),
                     fmt::format("op \"{}\" meets a weight cut by its input", op.name),
                     "this graph cannot be shared by tensor parallelism yet", "Use one rank."});
    }
    if (g_.tensor(a).role == Role::input && free_choice(a) && sb[n_b] < ranks_ && db == 2 &&
        da == 2) {  // gemv: cut the rows
        decide(a, sharded(m_a));
        return emit(op, with_bias({as_is(a), whole(b)}, false, true), at, {sharded(dc - 2)}, first_of(a));
    }
    repeated(op);
}

void Partitioner::grouped_matmul(const Op& op) {
    const TensorId x = op.in[0], w = op.in[1];
    const Attributes& a = op.attributes;
    if (a.trans_a) {  // gradient of the experts: whichever side is cut stays cut
        if (is_cut(x, 1)) return emit(op, {as_is(x), whole(w), whole(op.in[2])}, a, {sharded(1)}, first_of(x));
        if (is_cut(w, 1)) return emit(op, {whole(x), as_is(w), whole(op.in[2])}, a, {sharded(2)}, first_of(w));
        return repeated(op);
    }
    const int k_dim = a.trans_b ? 2 : 1, n_dim = a.trans_b ? 1 : 2;
    if (is_cut(x, 1)) {
        if (free_choice(w)) decide(w, sharded(k_dim));
        return emit(op, {as_is(x), as_is(w), whole(op.in[2])}, a, {partial});
    }
    if (free_choice(w) && columns_may_be_cut(op.out[0])) decide(w, sharded(n_dim));
    if (is_cut(w, n_dim)) return emit(op, {whole(x), as_is(w), whole(op.in[2])}, a, {sharded(1)}, first_of(w));
    repeated(op);
}

void Partitioner::attention(const Op& op) {
    Attributes a = op.attributes;
    const TensorId q = op.in[op.kind == OpKind::attention ? 0 : 1];
    const bool bare = g_.tensor(q).role == Role::input;
    if (bare && undecided(q) && !heads_divide(a)) {
        if (a.batch % ranks_ != 0)
            throw Error({fmt::format("tensor = {}", ranks_),
                         fmt::format("{} heads over {} key-value heads and batch {} cannot be shared by {} ranks",
                                     a.heads, a.kv_heads, a.batch, ranks_),
                         "attention is cut by heads or by sequences", "Use a divisor of kv_heads or of batch."});
    }
    const bool by_batch = bare && (is_cut(q, 0) || (undecided(q) && !heads_divide(a)));
    const int dim = by_batch ? 0 : 1;
    if (!bare && !is_cut(q, 1)) {
        if (ranks_ > 1 && !heads_divide(a))
            throw Error({fmt::format("tensor = {}", ranks_),
                         fmt::format("{} heads over {} key-value heads cannot be shared by {} ranks", a.heads,
                                     a.kv_heads, ranks_),
                         "attention is cut by heads", "Use a divisor of kv_heads."});
        return repeated(op);
    }
    const std::size_t first_kv = op.kind == OpKind::attention ? 1 : 2;
    Ids in;
    for (TensorId id : op.in) {
        if (free_choice(id)) {
            const std::int64_t rows = by_batch ? g_.tensor(id).shape[0] / a.batch : 1;
            const std::int64_t columns = g_.tensor(id).shape[1] / (a.kv_heads == 1 ? a.heads : a.kv_heads);
            const bool whole_kv = !by_batch && a.kv_heads == 1 && (id == op.in[first_kv] || id == op.in[first_kv + 1]);
            decide(id, whole_kv ? replicated : sharded(dim), by_batch ? rows : whole_kv ? 1 : columns);
        }
        in.push_back(as_is(id));
    }
    const bool one_kv = !by_batch && a.kv_heads == 1;  // every rank has all keys, and a summand of their gradients
    if (by_batch) a.batch /= ranks_;
    if (!by_batch) a.heads /= ranks_;
    if (!by_batch && !one_kv) a.kv_heads /= ranks_;
    std::vector<Layout> out;
    for (std::size_t i = 0; i < op.out.size(); ++i) {
        const bool lse = op.kind == OpKind::attention && i == 1;
        const bool summand = op.kind == OpKind::attention_backward && i > 0 && one_kv;
        out.push_back(lse ? own : summand ? partial : sharded(dim));
    }
    emit(op, in, a, out);
    for (TensorId id : op.out)
        if (layout(id).kind == Layout::Kind::sharded) {
            const std::int64_t extent = g_.tensor(id).shape[dim];
            pieces_[index(local_[index(id)])].first = shard(extent, rank_, ranks_, extent / ranks_).first;
        }
}

void Partitioner::by_heads(const Op& op) {  // rope, norms of heads, concat_heads and its gradient, head_matmul
    Attributes a = op.attributes;
    if (free_choice(op.in[0]) && g_.tensor(op.in[0]).role == Role::input && a.heads % ranks_ == 0)
        decide(op.in[0], sharded(1), g_.tensor(op.in[0]).shape[1] / a.heads);
    if (!is_cut(op.in[0], 1)) return repeated(op);
    a.heads /= ranks_;
    const std::int64_t first =
        shard(g_.tensor(op.out[0]).shape[1], rank_, ranks_, g_.tensor(op.out[0]).shape[1] / ranks_).first;
    if (op.kind == OpKind::concat_heads_backward) return emit(op, {as_is(op.in[0])}, a, {sharded(1), partial}, first);
    if (op.kind == OpKind::rmsnorm) return emit(op, {as_is(op.in[0]), whole(op.in[1])}, a, {sharded(1)}, first);
    Ids in{as_is(op.in[0])};
    if (op.kind == OpKind::head_matmul) in.push_back(decide(op.in[1], sharded(0)));
    if (op.kind == OpKind::concat_heads) in.push_back(whole(op.in[1]));
    emit(op, in, a, {sharded(1)}, first);
}

void Partitioner::table(const Op& op) {
    Attributes a = op.attributes;
    if (op.kind == OpKind::embed) {
        const TensorId tokens = whole(op.in[0]), table = op.in[1];
        if (free_choice(table) && g_.tensor(table).shape[0] >= ranks_) decide(table, sharded(0));
        if (!is_cut(table, 0)) return repeated(op);
        a.offset = first_of(table);
        return emit(op, {tokens, as_is(table)}, a, {partial});
    }
    // The gradient of a table is cut as the table is: by the rows [first, first + rows).
    const std::int64_t all = g_.tensor(op.out[0]).shape[0];
    if (all < ranks_) return repeated(op);
    const Range r = shard(all, rank_, ranks_);
    a.offset = r.first;
    a.rows = r.count;
    a.share = a.share / ranks_;  // each token's row belongs to one rank
    Ids in{whole(op.in[0]), whole(op.in[1])};
    if (op.in.size() > 2) in.push_back(as_is(op.in[2]));
    emit(op, in, a, {sharded(0)}, r.first);
    if (a.accumulate) bind(op.out[0], local_[index(op.in[2])], sharded(0), r.first);
}

void Partitioner::loss(const Op& op) {
    if (!is_cut(op.in[0], 1)) return repeated(op);
    Attributes a = op.attributes;
    a.offset = first_of(op.in[0]);
    if (op.kind == OpKind::cross_entropy_backward)
        return emit(op, {as_is(op.in[0]), whole(op.in[1]), as_is(op.in[2])}, a, {sharded(1)}, a.offset);
    a.ranks = ranks_;
    const TensorId parts =
        editor_.op(op.kind, op.name + ".parts", {as_is(op.in[0]), whole(op.in[1])}, a, block_).front();
    Attributes gather;
    gather.collective = CollectiveKind::allgather;
    gather.ranks = ranks_;
    const TensorId all = editor_.op(OpKind::collective, "allgather_" + op.name, {parts}, gather, block_).front();
    const Ids out = editor_.op(OpKind::cross_entropy_join, op.name + ".join", {all}, a, block_);
    for (std::size_t i = 0; i < out.size(); ++i) {
        editor_.at(out[i]).role = g_.tensor(op.out[i]).role;
        bind(op.out[i], out[i], replicated);
    }
}

void Partitioner::rows_or_columns(const Op& op) {
    const TensorId x = op.in[0];
    const int last = static_cast<int>(g_.tensor(x).shape.size()) - 1;
    const bool pointwise = op.kind == OpKind::gelu || op.kind == OpKind::silu_mul || op.kind == OpKind::add ||
                           op.kind == OpKind::gelu_backward || op.kind == OpKind::silu_mul_backward ||
                           op.kind == OpKind::sum_rows;
    if (free_choice(x) && g_.tensor(x).role == Role::input) {  // bare operator: by rows, or a single row by columns
        const int dim = g_.tensor(x).shape[0] >= ranks_ || !pointwise ? 0 : last;
        for (TensorId id : op.in)
            if (free_choice(id)) decide(id, g_.tensor(id).shape == g_.tensor(x).shape ? sharded(dim) : replicated);
    }
    bool cut = pointwise && is_cut(x, last), rows = layout(x) == sharded(0) && !undecided(x) && last > 0;
    for (TensorId id : op.in)
        if (g_.tensor(id).shape == g_.tensor(x).shape) {
            cut = cut && is_cut(id, last);
            rows = rows && is_cut(id, 0);
        }
    Ids in;
    if (op.kind == OpKind::add && layout(x) == partial && layout(op.in[1]) == partial && !undecided(x)) {
        Attributes a = op.attributes;
        a.share = a.share / ranks_;
        return emit(op, {as_is(x), as_is(op.in[1])}, a, {partial});
    }
    if (!cut && !rows) return repeated(op);
    for (TensorId id : op.in) in.push_back(as_is(id));
    const int dim = rows ? 0 : op.kind == OpKind::sum_rows ? 0 : last;
    emit(op, in, op.attributes, {sharded(dim)}, first_of(x));
}

void Partitioner::collective(const Op& op) {
    Attributes a = op.attributes;
    a.ranks = ranks_;
    Tensor t = g_.tensor(op.in[0]);
    const std::int64_t n = t.shape[0];
    if (a.collective == CollectiveKind::allgather) {
        if (n % ranks_ != 0)
            throw Error({fmt::format("tensor = {}", ranks_),
                         fmt::format("{} elements do not divide among {} ranks", n, ranks_),
                         "every rank gathers an equal part", "Use a size that divides."});
        t.shape[0] = n / ranks_;
    }
    bind(op.in[0], editor_.tensor(t), own);
    emit(op, {local_[index(op.in[0])]}, a, {own});
}

void Partitioner::experts(const Op& op) {
    Attributes a = op.attributes;
    a.share = a.share / ranks_;  // rows of summands are as many as whole rows
    if (op.kind == OpKind::moe_combine && layout(op.in[0]) == partial && !undecided(op.in[0])) {
        Ids in{as_is(op.in[0])};
        for (std::size_t i = 1; i < op.in.size(); ++i) in.push_back(whole(op.in[i]));
        return emit(op, in, a, {partial});
    }
    if (op.kind == OpKind::moe_combine_backward && layout(op.in[1]) == partial && !undecided(op.in[1]))
        return emit(op, {whole(op.in[0]), as_is(op.in[1]), whole(op.in[2]), whole(op.in[3])}, a, {replicated, partial});
    repeated(op);
}

void Partitioner::update(const Op& op) {
    const TensorId w = op.in[0];
    as_is(w);
    const Layout l = layout(w);
    if (l == replicated) return repeated(op);
    const std::int64_t first = first_of(w);
    Ids in;
    for (TensorId id : op.in) {
        if (free_choice(id)) {
            Tensor t = g_.tensor(id);
            t.shape = editor_.at(local_[index(w)]).shape;
            bind(id, editor_.tensor(t), l, first);
        }
        in.push_back(as_is(id));
    }
    emit(op, in, op.attributes, {l}, first);
}

/// Every rank moves its own part; what nothing else cuts is cut by rows.
void Partitioner::moved(const Op& op) {
    const TensorId x = op.in[0];
    if (free_choice(x) && g_.tensor(x).shape[0] >= ranks_) decide(x, sharded(0));
    emit(op, {as_is(x)}, op.attributes, {layout(x)}, first_of(x));
}

void Partitioner::place(const Op& op) {
    switch (op.kind) {
        case OpKind::matmul: return matmul(op);
        case OpKind::grouped_matmul: return grouped_matmul(op);
        case OpKind::attention:
        case OpKind::attention_backward: return attention(op);
        case OpKind::rope:
        case OpKind::head_matmul:
        case OpKind::concat_heads:
        case OpKind::concat_heads_backward: return by_heads(op);
        case OpKind::embed:
        case OpKind::embed_backward: return table(op);
        case OpKind::cross_entropy:
        case OpKind::cross_entropy_backward: return loss(op);
        case OpKind::collective: return collective(op);
        case OpKind::moe_combine:
        case OpKind::moe_combine_backward: return experts(op);
        case OpKind::adamw: return update(op);
        case OpKind::cache_write: {
            if (!is_cut(op.in[1], 1)) return repeated(op);
            const Range r = shard(g_.tensor(op.in[0]).shape[1], rank_, ranks_, g_.tensor(op.in[0]).shape[1] / ranks_);
            if (free_choice(op.in[0])) decide(op.in[0], sharded(1), r.count);
            return emit(op, {as_is(op.in[0]), as_is(op.in[1])}, op.attributes, {sharded(1)}, r.first);
        }
        case OpKind::read:
        case OpKind::load:
        case OpKind::write: return moved(op);
        case OpKind::compile: return emit(op, {}, op.attributes, {});
        case OpKind::rmsnorm_backward: {  // of heads: a summand of the gradient of the scale on every rank
            if (op.attributes.heads == 1 || !is_cut(op.in[0], 1) || !is_cut(op.in[1], 1)) return repeated(op);
            Attributes a = op.attributes;
            a.heads /= ranks_;
            return emit(op, {as_is(op.in[0]), as_is(op.in[1]), whole(op.in[2])}, a, {sharded(1), partial},
                        first_of(op.in[1]));
        }
        case OpKind::rmsnorm:
            if (op.attributes.heads > 1) return by_heads(op);
            return rows_or_columns(op);
        case OpKind::layernorm:
        case OpKind::softmax:
        case OpKind::gelu:
        case OpKind::gelu_backward:
        case OpKind::silu_mul:
        case OpKind::silu_mul_backward:
        case OpKind::sum_rows:
        case OpKind::add: return rows_or_columns(op);
        default: return repeated(op);
    }
}

}  // namespace wb
