#include "models/wafer/op_cost.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace wb::wafer {
namespace {

/// What every rule below needs.
struct Call {
    const Machine& m;
    const Graph& g;
    const Op& op;
    const Where& where;

    const Tensor& in(std::size_t i) const { return g.tensor(op.in.at(i)); }
    const Tensor& out() const { return g.tensor(op.out.at(0)); }
    DType type() const { return in(0).dtype == DType::int32 ? out().dtype : in(0).dtype; }
    double pieces(double n) const { return std::max(1.0, std::ceil(n / static_cast<double>(where.split))); }
};

double extent(const Tensor& t, int from_end) {
    const std::size_t rank = t.shape.size(), back = static_cast<std::size_t>(from_end);
    return back <= rank ? static_cast<double>(t.shape[rank - back]) : 1;
}

double count(const Tensor& t) { return static_cast<double>(elements(t.shape)); }

/// Rows, depth and columns of a product.
struct Sizes {
    double m, k, n;
};

Sizes sizes(const Call& c) {
    const Attributes& a = c.op.attributes;
    const Tensor &x = c.in(0), &y = c.in(1);
    const double k = a.trans_a ? extent(x, 2) : extent(x, 1), n = a.trans_b ? extent(y, 2) : extent(y, 1);
    return {c.pieces(count(x) / k), k, n};
}

Cost product(const Call& c, Sizes s, DType type, Grid grid) {
    const bool bare = c.g.ops().size() == 1;  // nobody waits for the result everywhere
    const bool only_gemv = c.where.algorithm.find("meshgemv") != std::string::npos;
    const bool only_gemm = c.where.algorithm.find("meshgemm") != std::string::npos ||
                           gemv_buffer_bytes(s.m, s.k, s.n, type, grid) > c.where.room;
    if (s.n < s.m) std::swap(s.m, s.n);  // the matrix is the larger operand
    const Cost by_vector = gemv(c.m, s.m, s.k, s.n, type, grid, !bare);
    if (only_gemv) return by_vector;
    const Cost by_matrix = gemm(c.m, s.m, s.k, s.n, type, grid);
    return only_gemm || by_matrix.cycles() < by_vector.cycles() ? by_matrix : by_vector;
}

/// Rows go to experts, all of which lie spread over the whole rectangle. With few rows the busy experts' tiles are
/// worked off one by one and reduced in one message; with many, each expert is a product of its own, one after another
/// or on a part of the rectangle each.
Cost experts(const Call& c) {
    const Attributes& a = c.op.attributes;
    const Grid grid = c.where.grid;
    const double k = extent(c.in(0), 1), n = a.trans_b ? extent(c.in(1), 2) : extent(c.in(1), 1);
    const double rows = c.pieces(extent(c.in(0), 2)), busy = std::min(rows, static_cast<double>(a.experts));
    const double each = std::ceil(rows / busy);
    const int parts = std::max(1, static_cast<int>(std::sqrt(static_cast<double>(a.experts))));
    const Grid part{std::max(1, grid.rows / parts), std::max(1, grid.columns / parts)};
    const Cost options[] = {gemv_group(c.m, busy, each, k, n, c.type(), grid),
                            product(c, {each, k, n}, c.type(), grid) * busy, product(c, {each, k, n}, c.type(), part)};
    return *std::min_element(std::begin(options), std::end(options),
                             [](const Cost& x, const Cost& y) { return x.cycles() < y.cycles(); });
}

/// A piece of the queries: of so many sequences, and of each the last of so many pieces of its prompt in the mean.
struct Queries {
    double sequences, of_each, keys;

    explicit Queries(const Call& c) : sequences(c.pieces(static_cast<double>(c.op.attributes.batch))) {
        const Attributes& a = c.op.attributes;
        const double cuts = std::max(1.0, static_cast<double>(c.where.split) / static_cast<double>(a.batch));
        of_each = std::ceil(static_cast<double>(a.seq) / cuts);
        keys = static_cast<double>(a.window > 0 ? std::min(a.window, a.seq_kv) : a.seq_kv);
        // The first of the pieces sees the keys of its own tokens only, the last sees all.
        if (cuts > 1 && a.causal) keys -= 0.5 * static_cast<double>(a.seq) * (1 - 1 / cuts);
        keys = std::max(keys, of_each);
    }
};

/// Few queries a sequence. Keys and values lie with their tokens over the rows and their features over the columns; the
/// maximum, the sum and the weighted values are reduced over the rows.
Cost attention_decode(const Call& c, const Queries& q) {
    const Attributes& a = c.op.attributes;
    const double batch = q.sequences * q.of_each, heads = static_cast<double>(a.heads);
    const double tokens = share(q.keys, c.where.grid.rows);
    const double keys = share(heads * static_cast<double>(a.head_dim), c.where.grid.columns);
    const double values = share(heads * static_cast<double>(a.v_head_dim), c.where.grid.columns);
    Cost cost;
    for (const double features : {keys, values})
        cost.compute += batch * features * (c.m.row_start + tokens * c.m.fma_cycles(c.type()));
    Cost reductions = reduce(c.m, batch, c.type(), c.where.grid.rows, true) * 2 +
                      reduce(c.m, batch * values, c.type(), c.where.grid.rows, true);
    reductions.bytes *= c.where.grid.columns;
    cost.dispatch =
        3 * c.m.dispatch;  // scores, softmax and weighted values are ops of their own; one is counted for all
    return cost + reductions;
}

/// Many queries: keys, then values go round the mesh, as in a product of matrices; masked pairs are computed too.
Cost attention_prefill(const Call& c, double products, const Queries& q) {
    const Attributes& a = c.op.attributes;
    const Grid grid = c.where.grid;
    const double heads = static_cast<double>(a.heads);
    const int steps = std::max(grid.rows, grid.columns);
    const double sequences = std::min(q.sequences, static_cast<double>(steps));
    const double queries = share(q.sequences * q.of_each, grid.rows);
    const double rounds = std::ceil(steps / sequences);
    const double keys = share(a.window > 0 || c.where.split <= a.batch ? static_cast<double>(a.seq_kv) : q.keys,
                              static_cast<int>(rounds));
    const double features = share(heads * static_cast<double>(std::max(a.head_dim, a.v_head_dim)), grid.columns);
    const double moved = std::ceil(keys * features / elements_per_wavelet(c.type()));
    Cost cost;
    cost.compute = products * rounds * (c.m.gemm_step + queries * keys * features * c.m.fma_cycles(c.type()));
    cost.fabric = products * rounds * moved * c.m.gemm_word;
    cost.bytes = products * rounds * moved * 4 * grid.pes();
    return cost;
}

Cost attention(const Call& c) {
    const Queries q(c);
    if (c.op.attributes.seq == 1) return attention_decode(c, q);
    const Cost all = attention_prefill(c, 2, q);
    if (c.where.split <= c.op.attributes.batch) return all;
    const Cost few = attention_decode(c, q);  // a piece of a prompt may be worked on like so many single queries
    return few.cycles() < all.cycles() ? few : all;
}

/// Work along rows that lie over the columns of the mesh: elementwise passes, and `reductions` of one value a row.
Cost row_work(const Call& c, int reductions) {
    std::vector<Operand> in;
    for (TensorId id : c.op.in) in.push_back({&c.g.tensor(id).shape, c.g.tensor(id).dtype});
    const Grid grid = c.where.grid;
    const double flops = work(c.op.kind, in, c.op.attributes).vector.si() / static_cast<double>(c.where.split);
    Cost cost;
    cost.compute = std::ceil(flops / grid.pes()) * c.m.fma_cycles(c.type());
    if (reductions == 0) return cost;
    const double rows = share(c.pieces(count(c.in(0)) / extent(c.in(0), 1)), grid.rows);
    Cost one = reduce(c.m, rows, DType::f32, grid.columns, true);
    one.bytes *= grid.rows;
    return cost + one * reductions;
}

/// Rows of a table, or rows sent to where they are needed: half across the mesh, as wide as a row of links.
Cost moved_rows(const Call& c, const Tensor& what) {
    const double bytes = c.pieces(count(what)) * bits(what.dtype) / 8;
    const Grid grid = c.where.grid;
    Cost cost;
    cost.fabric = (grid.rows + grid.columns) / 2.0 + bytes / 4 / std::min(grid.rows, grid.columns);
    cost.bytes = bytes;
    return cost;
}

/// New tokens enter a cache that is kept even: every row of PEs hands as many to the next (the shift of He et al.).
Cost new_tokens(const Call& c) {
    const Tensor& rows = c.in(1);
    const double tokens = share(c.pieces(extent(rows, 2)), c.where.grid.rows);
    const double words =
        std::ceil(tokens * share(extent(rows, 1), c.where.grid.columns) / elements_per_wavelet(c.type()));
    Cost cost;
    cost.fabric = words * c.m.gemm_word;
    cost.bytes = words * 4 * c.where.grid.pes();
    return cost;
}

/// Among the PEs of the rectangle, each with a buffer of its own: along rows, then along columns.
Cost bare_collective(const Call& c) {
    const Grid grid = c.where.grid;
    const double n = count(c.in(0));
    const bool everywhere = c.op.attributes.collective != CollectiveKind::reduce_scatter;
    Cost rows = reduce(c.m, n, c.type(), grid.columns, everywhere),
         columns = reduce(c.m, n, c.type(), grid.rows, everywhere);
    rows.bytes *= grid.rows;
    columns.bytes *= grid.columns;
    return rows + columns;
}

Cost body(const Call& c) {
    using enum OpKind;
    switch (c.op.kind) {
        case matmul: return product(c, sizes(c), c.type(), c.where.grid);
        case grouped_matmul: return experts(c);
        case head_matmul: {
            const Tensor& w = c.in(1);  // [heads, in, out]: heads side by side
            const double heads = extent(w, 3);
            return product(c, {c.pieces(extent(c.in(0), 2)), extent(w, 2), std::ceil(extent(w, 1) * heads)}, c.type(),
                           c.where.grid);
        }
        case OpKind::attention: return wafer::attention(c);
        case attention_backward: return attention_prefill(c, 5, Queries(c));
        case layernorm: return row_work(c, 2);
        case softmax:
        case layernorm_backward:
        case cross_entropy: return row_work(c, 2);
        case topk_gate:  // the best of each part are merged
        case rmsnorm:
        case rmsnorm_backward:
        case softmax_backward:
        case sum_rows: return row_work(c, 1);
        case embed: return moved_rows(c, c.out());
        case last_rows: return moved_rows(c, c.out());
        // Experts lie spread over the whole rectangle, where every token already is: nothing moves, results are added.
        case moe_dispatch: return Cost{};
        case moe_combine: return row_work(c, 0);
        case cache_write: return new_tokens(c);
        case collective: return bare_collective(c);
        default: return row_work(c, 0);
    }
}

}  // namespace

Cost op_cost(const Machine& m, const Graph& g, const Op& op, const Where& where) {
    Cost cost = body({m, g, op, where});
    cost.dispatch += m.dispatch;
    return cost;
}

}  // namespace wb::wafer
