#include "kernels/reference/spot_values.hpp"

#include <algorithm>

#include "core/element.hpp"
#include "core/fill.hpp"
#include "kernels/reference/execution.hpp"

namespace wb::reference {
namespace {

/// Input tensors of the full-size graph, an element at a time.
class Source {
public:
    Source(const Graph& g, TensorId id, std::uint64_t seed)
        : type_(g.tensor(id).dtype), stream_(g.tensor(id).fill, seed, g.tensor(id).name, 0) {}
    double operator()(std::int64_t i) const { return rounded(stream_(i), type_); }

private:
    DType type_;
    FillStream stream_;
};

/// Draws positions; the same ones for the same graph and seed.
class Draw {
public:
    Draw(const Graph& g, std::uint64_t seed) : state_(Digest().add(g.fingerprint()).add(seed).low()) {}
    std::int64_t below(std::int64_t n) {
        return static_cast<std::int64_t>((state_ = mix64(state_)) % static_cast<std::uint64_t>(n));
    }

private:
    std::uint64_t state_;
};

std::vector<SpotValue> matmul(const Graph& g, const Op& op, std::uint64_t seed, int count) {
    const Source a(g, op.in[0], seed), b(g, op.in[1], seed);
    const Shape &sa = g.tensor(op.in[0]).shape, &sb = g.tensor(op.in[1]).shape, &sc = g.tensor(op.out[0]).shape;
    const Attributes& at = op.attributes;
    const std::int64_t m = sc[sc.size() - 2], n = sc.back(), k = sa[sa.size() - (at.trans_a ? 2 : 1)];
    const std::int64_t batch = elements(sc) / (m * n);
    Draw draw(g, seed);
    std::vector<SpotValue> out;
    for (int s = 0; s < count; ++s) {
        const std::int64_t x = draw.below(batch), i = draw.below(m), j = draw.below(n);
        const std::int64_t a0 = x * m * k, b0 = sb.size() > 2 ? x * k * n : 0;
        double sum = 0;
        for (std::int64_t l = 0; l < k; ++l)
            sum += a(a0 + (at.trans_a ? l * m + i : i * k + l)) * b(b0 + (at.trans_b ? j * k + l : l * n + j));
        out.push_back({op.out[0], (x * m + i) * n + j, sum});
    }
    return out;
}

/// The keys one query sees, and it alone, as a graph of its own.
std::vector<SpotValue> attention(const Graph& g, const Op& op, std::uint64_t seed, int count) {
    const Attributes& a = op.attributes;
    const Source q(g, op.in[0], seed), k(g, op.in[1], seed), v(g, op.in[2], seed);
    Draw draw(g, seed);
    std::vector<SpotValue> out;
    for (int s = 0; s < count; s += static_cast<int>(a.v_head_dim)) {
        const std::int64_t b = draw.below(a.batch), i = draw.below(a.seq), h = draw.below(a.heads);
        const std::int64_t kv = h / (a.heads / a.kv_heads), last = a.causal ? i + 1 + a.seq_kv - a.seq : a.seq_kv;
        const std::int64_t first = a.window > 0 ? std::max<std::int64_t>(0, last - a.window) : 0;
        Attributes one = a;
        one.batch = one.heads = one.kv_heads = one.seq = 1;
        one.seq_kv = last - first;
        one.causal = false;
        one.window = 0;
        Graph small("spot");
        const TensorId sq = small.input("q", {1, a.head_dim}, DType::f64),
                       sk = small.input("k", {one.seq_kv, a.head_dim}, DType::f64),
                       sv = small.input("v", {one.seq_kv, a.v_head_dim}, DType::f64);
        const TensorId so = small.apply(OpKind::attention, "o", {sq, sk, sv}, one).front();
        small.mark_output(so);
        Execution e(small, seed);
        for (std::int64_t d = 0; d < a.head_dim; ++d)
            e.values(sq)[static_cast<std::size_t>(d)] = q(((b * a.seq + i) * a.heads + h) * a.head_dim + d);
        for (std::int64_t j = 0; j < one.seq_kv; ++j) {
            const std::int64_t row = (b * a.seq_kv + first + j) * a.kv_heads + kv;
            for (std::int64_t d = 0; d < a.head_dim; ++d)
                e.values(sk)[static_cast<std::size_t>(j * a.head_dim + d)] = k(row * a.head_dim + d);
            for (std::int64_t d = 0; d < a.v_head_dim; ++d)
                e.values(sv)[static_cast<std::size_t>(j * a.v_head_dim + d)] = v(row * a.v_head_dim + d);
        }
        e.run();
        for (std::int64_t d = 0; d < a.v_head_dim; ++d)
            out.push_back({op.out[0], ((b * a.seq + i) * a.heads + h) * a.v_head_dim + d,
                           e.values(so)[static_cast<std::size_t>(d)]});
    }
    return out;
}

/// One row of a row-wise operator, as a graph of one row.
std::vector<SpotValue> row_wise(const Graph& g, const Op& op, std::uint64_t seed, int rows) {
    const Shape& shape = g.tensor(op.in[0]).shape;
    const std::int64_t columns = shape.back(), all = elements(shape) / columns;
    Draw draw(g, seed);
    std::vector<SpotValue> out;
    for (int s = 0; s < rows; ++s) {
        const std::int64_t row = draw.below(all);
        Graph small("spot");
        std::vector<TensorId> in;
        for (TensorId id : op.in)
            in.push_back(small.input(g.tensor(id).name,
                                     g.tensor(id).shape == shape ? Shape{1, columns} : g.tensor(id).shape, DType::f64));
        Attributes a = op.attributes;
        a.offset += row % a.seq;  // rope: the position of this row
        a.seq = 1;
        const TensorId y = small.add(op.kind, "y", in, a);
        small.mark_output(y);
        Execution e(small, seed);
        for (std::size_t i = 0; i < in.size(); ++i) {
            const Source source(g, op.in[i], seed);
            const std::int64_t from = g.tensor(op.in[i]).shape == shape ? row * columns : 0;
            for (std::size_t j = 0; j < e.values(in[i]).size(); ++j)
                e.values(in[i])[j] = source(from + static_cast<std::int64_t>(j));
        }
        e.run();
        for (std::int64_t j = 0; j < columns; ++j)
            out.push_back({op.out[0], row * columns + j, e.values(y)[static_cast<std::size_t>(j)]});
    }
    return out;
}

}  // namespace

std::vector<SpotValue> spot_values(const Graph& graph, std::uint64_t seed, int count) {
    if (graph.ops().size() != 1) return {};
    const Op& op = graph.ops().front();
    switch (op.kind) {
        case OpKind::matmul: return matmul(graph, op, seed, count);
        case OpKind::attention: return attention(graph, op, seed, count);
        case OpKind::softmax:
        case OpKind::layernorm:
        case OpKind::rmsnorm:
        case OpKind::gelu:
        case OpKind::silu_mul:
        case OpKind::rope:
        case OpKind::add: return row_wise(graph, op, seed, 4);
        default: return {};
    }
}

}  // namespace wb::reference
