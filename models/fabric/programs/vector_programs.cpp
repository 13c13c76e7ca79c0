#include "models/fabric/programs/vector_programs.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

#include "models/fabric/programs/line_sum.hpp"

namespace wb::fabric {
namespace {

/// The order in which rope deals columns: those that turn pair by pair, then the others.
std::vector<std::int64_t> rope_order(const VectorCall& call) {
    const Attributes& a = call.a;
    const std::int64_t per_head = call.columns / a.heads, half = a.rotary_dim / 2;
    std::vector<std::int64_t> order, rest;
    for (std::int64_t h = 0; h < a.heads; ++h) {
        const std::int64_t at = h * per_head + a.rotary_offset;
        for (std::int64_t i = 0; i < half; ++i) {
            order.push_back(at + (a.interleaved ? 2 * i : i));
            order.push_back(at + (a.interleaved ? 2 * i + 1 : i + half));
        }
        for (std::int64_t j = h * per_head; j < (h + 1) * per_head; ++j)
            if (j < at || j >= at + a.rotary_dim) rest.push_back(j);
    }
    order.insert(order.end(), rest.begin(), rest.end());
    return order;
}

/// What all PEs of a call share.
struct Shared {
    VectorCall call;
    LineSum sum;
    std::vector<std::int64_t> order;  // of rope
    int mesh_rows, mesh_columns;
};

/// One PE's part, column-major.
struct Tile {
    Range rows, columns;
    Vec x, y, gamma, beta, statistic;

    std::int64_t size() const { return rows.count * columns.count; }
    std::size_t at(std::int64_t i, std::int64_t j) const { return static_cast<std::size_t>(j * rows.count + i); }
};

Vec loaded(Pe& pe, const Load& from, Type type, Range rows, Range columns, const std::vector<std::int64_t>& order) {
    const Vec v = pe.alloc(type, static_cast<std::size_t>(rows.count * columns.count));
    if (!pe.data()) return v;
    std::size_t at = 0;
    for (std::int64_t j = columns.first; j < columns.first + columns.count; ++j) {
        const std::int64_t column = order.empty() ? j : order[static_cast<std::size_t>(j)];
        for (std::int64_t i = rows.first; i < rows.first + rows.count; ++i) pe.set(v, at++, from(i, column));
    }
    return v;
}

Range dealt_columns(const Shared& s, int column) {
    if (s.call.op != VectorOp::rope) return part(s.call.columns, s.mesh_columns, column);
    const Range pairs = part((s.call.columns + 1) / 2, s.mesh_columns, column);
    const std::int64_t first = 2 * pairs.first;
    return {first, std::min(2 * pairs.count, s.call.columns - first)};
}

Tile load_tile(Pe& pe, const Shared& s) {
    const VectorCall& call = s.call;
    Tile t{part(call.rows, s.mesh_rows, pe.row), dealt_columns(s, pe.column), {}, {}, {}, {}, {}};
    t.x = loaded(pe, call.x, call.type, t.rows, t.columns, s.order);
    if (call.op == VectorOp::add || call.op == VectorOp::silu_mul)
        t.y = loaded(pe, call.y, call.type, t.rows, t.columns, {});
    const bool layernorm = call.op == VectorOp::layernorm;
    if (layernorm || call.op == VectorOp::rmsnorm) t.gamma = loaded(pe, call.y, call.type, {0, 1}, t.columns, {});
    if (layernorm) t.beta = loaded(pe, call.beta, call.type, {0, 1}, t.columns, {});
    if (passes(call.op).allreduces > 0) t.statistic = pe.alloc(Type::f32, static_cast<std::size_t>(t.rows.count));
    return t;
}

void store_tile(Pe& pe, const Tile& t, const Shared& s) {
    if (!pe.data() || !s.call.out) return;
    for (std::int64_t j = 0; j < t.columns.count; ++j) {
        const std::int64_t at = t.columns.first + j;
        const std::int64_t column = s.order.empty() ? at : s.order[static_cast<std::size_t>(at)];
        for (std::int64_t i = 0; i < t.rows.count; ++i) s.call.out(t.rows.first + i, column, pe.get(t.x, t.at(i, j)));
    }
}

/// x(i, j) = f(x(i, j), i, j) for the whole tile.
template <class F>
void map(Pe& pe, const Tile& t, const F& f) {
    for (std::int64_t j = 0; j < t.columns.count; ++j)
        for (std::int64_t i = 0; i < t.rows.count; ++i) pe.set(t.x, t.at(i, j), f(pe.get(t.x, t.at(i, j)), i, j));
}

/// statistic(i) = the fold of f over row i of the tile.
template <class F>
void fold(Pe& pe, const Tile& t, float from, const F& f) {
    for (std::int64_t i = 0; i < t.rows.count; ++i) {
        float value = from;
        for (std::int64_t j = 0; j < t.columns.count; ++j) value = f(value, pe.get(t.x, t.at(i, j)));
        pe.set(t.statistic, static_cast<std::size_t>(i), value);
    }
}

float statistic(const Pe& pe, const Tile& t, std::int64_t i) {
    return pe.get(t.statistic, static_cast<std::size_t>(i));
}

float gelu(float x, bool tanh_form) {
    const double slope = std::sqrt(2 / std::numbers::pi), cubic = 0.044715, v = x;  // Hendrycks and Gimpel 2016
    const double inner = tanh_form ? std::tanh(slope * (v + cubic * v * v * v)) : std::erf(v / std::numbers::sqrt2);
    return static_cast<float>(0.5 * v * (1 + inner));
}

void apply_elementwise(Pe& pe, const Tile& t, VectorOp op) {
    map(pe, t, [&](float x, std::int64_t i, std::int64_t j) {
        if (op == VectorOp::add) return x + pe.get(t.y, t.at(i, j));
        if (op == VectorOp::silu_mul) return x / (1 + std::exp(-x)) * pe.get(t.y, t.at(i, j));
        return gelu(x, op == VectorOp::gelu_tanh);
    });
}

/// Angles are tables of the host; here they are worked out where they are used.
void turn_pairs(Pe& pe, const Tile& t, const Attributes& a) {
    const std::int64_t half = a.rotary_dim / 2, turning = a.heads * half;
    for (std::int64_t p = 0; 2 * p + 1 < t.columns.count; ++p) {
        const std::int64_t pair = t.columns.first / 2 + p;
        if (pair >= turning) return;
        const double rate =
            std::pow(a.theta, -2.0 * static_cast<double>(pair % half) / static_cast<double>(a.rotary_dim));
        for (std::int64_t i = 0; i < t.rows.count; ++i) {
            const double angle = static_cast<double>(a.offset + (t.rows.first + i) % a.seq) * rate;
            const auto c = static_cast<float>(std::cos(angle));
            const auto s = static_cast<float>(a.inverse ? -std::sin(angle) : std::sin(angle));
            const float first = pe.get(t.x, t.at(i, 2 * p)), second = pe.get(t.x, t.at(i, 2 * p + 1));
            pe.set(t.x, t.at(i, 2 * p), first * c - second * s);
            pe.set(t.x, t.at(i, 2 * p + 1), second * c + first * s);
        }
    }
}

double flops_per_element(VectorOp op) {
    switch (op) {
        case VectorOp::add: return 1;
        case VectorOp::rope: return 3;  // of those that turn
        case VectorOp::rmsnorm: return 4;
        case VectorOp::softmax:
        case VectorOp::silu_mul: return 5;
        default: return 8;
    }
}

/// Useful multiply-adds of a tile.
double credit(const Tile& t, const VectorCall& call) {
    std::int64_t columns = t.columns.count;
    if (call.op == VectorOp::rope)
        columns = std::clamp<std::int64_t>(call.a.heads * call.a.rotary_dim - t.columns.first, 0, columns);
    return flops_per_element(call.op) / 2 * static_cast<double>(t.rows.count * columns);
}

Process elementwise(Pe& pe, const Tile& t, const Shared& s) {
    const VectorOp op = s.call.op;
    co_await pe.compute(sweep(pe, s.call.type, passes(op).plain, t.size(), credit(t, s.call)), [&pe, &t, &s, op] {
        if (op == VectorOp::rope)
            turn_pairs(pe, t, s.call.a);
        else
            apply_elementwise(pe, t, op);
    });
}

Process softmax(Pe& pe, const Tile& t, const Shared& s) {
    const Type type = s.call.type;
    co_await pe.compute(sum_sweep(pe, type, 1, t.size(), credit(t, s.call)), [&] {
        fold(pe, t, -std::numeric_limits<float>::infinity(), [](float a, float b) { return std::max(a, b); });
    });
    co_await s.sum.run(pe, row_line(pe), t.statistic, Combine::maximum);
    co_await pe.task();
    co_await pe.compute(sweep(pe, type, 1 + exp_passes, t.size()), [&] {
        map(pe, t, [&](float x, std::int64_t i, std::int64_t) { return std::exp(x - statistic(pe, t, i)); });
    });
    co_await pe.compute(sum_sweep(pe, type, 1, t.size()), [&] { fold(pe, t, 0, std::plus<float>()); });
    co_await s.sum.run(pe, row_line(pe), t.statistic, Combine::add);
    co_await pe.task();
    co_await pe.compute(sweep(pe, Type::f32, reciprocal_passes, t.rows.count), [] {});
    co_await pe.compute(sweep(pe, type, 1, t.size()), [&] {
        map(pe, t, [&](float x, std::int64_t i, std::int64_t) { return x / statistic(pe, t, i); });
    });
}

/// layernorm first takes the mean from the rows.
Process centre(Pe& pe, const Tile& t, const Shared& s) {
    const auto n = static_cast<float>(s.call.columns);
    co_await pe.compute(sum_sweep(pe, s.call.type, 1, t.size()), [&] { fold(pe, t, 0, std::plus<float>()); });
    co_await s.sum.run(pe, row_line(pe), t.statistic, Combine::add);
    co_await pe.task();
    co_await pe.compute(sweep(pe, Type::f32, 1, t.rows.count), [] {});
    co_await pe.compute(sweep(pe, s.call.type, 1, t.size()), [&] {
        map(pe, t, [&](float x, std::int64_t i, std::int64_t) { return x - statistic(pe, t, i) / n; });
    });
}

Process norm(Pe& pe, const Tile& t, const Shared& s) {
    const bool centred = s.call.op == VectorOp::layernorm;
    if (centred) co_await centre(pe, t, s);
    co_await pe.compute(sum_sweep(pe, s.call.type, 1, t.size(), credit(t, s.call)),
                        [&] { fold(pe, t, 0, [](float a, float b) { return std::fma(b, b, a); }); });
    co_await s.sum.run(pe, row_line(pe), t.statistic, Combine::add);
    co_await pe.task();
    co_await pe.compute(sweep(pe, Type::f32, 1 + rsqrt_passes, t.rows.count), [&] {
        for (std::int64_t i = 0; i < t.rows.count; ++i) {
            const double square = statistic(pe, t, i) / static_cast<double>(s.call.columns);
            pe.set(t.statistic, static_cast<std::size_t>(i), static_cast<float>(1 / std::sqrt(square + s.call.a.eps)));
        }
    });
    co_await pe.compute(sweep(pe, s.call.type, 2, t.size()), [&] {
        map(pe, t, [&](float x, std::int64_t i, std::int64_t j) {
            const auto column = static_cast<std::size_t>(j);
            return x * statistic(pe, t, i) * pe.get(t.gamma, column) + (centred ? pe.get(t.beta, column) : 0);
        });
    });
}

Process run(Pe& pe, const Shared& s) {
    const Tile t = load_tile(pe, s);
    const int reductions = passes(s.call.op).allreduces;
    if (reductions > 0) s.sum.route(pe, row_line(pe));
    if (t.rows.count == 0) co_return;  // so are they in the whole row of the mesh
    if (reductions == 0)
        co_await elementwise(pe, t, s);
    else if (s.call.op == VectorOp::softmax)
        co_await softmax(pe, t, s);
    else
        co_await norm(pe, t, s);
    store_tile(pe, t, s);
}

}  // namespace

Program vector_program(VectorCall call, const Mesh& mesh, int mesh_rows, int mesh_columns) {
    const std::int64_t statistics = (call.rows + mesh_rows - 1) / mesh_rows;
    auto shared = std::make_shared<Shared>(
        Shared{std::move(call), LineSum(mesh, mesh_columns, statistics, 0), {}, mesh_rows, mesh_columns});
    if (shared->call.op == VectorOp::rope) shared->order = rope_order(shared->call);
    return [shared](Pe& pe) { return run(pe, *shared); };
}

double vector_flops(const VectorCall& call) {
    const std::int64_t columns = call.op == VectorOp::rope ? call.a.heads * call.a.rotary_dim : call.columns;
    return flops_per_element(call.op) * static_cast<double>(call.rows * columns);
}

}  // namespace wb::fabric
