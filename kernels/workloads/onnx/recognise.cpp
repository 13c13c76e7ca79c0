#include "kernels/workloads/onnx/recognise.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/hash.hpp"
#include "kernels/workloads/onnx/region.hpp"

namespace wb::onnx_import {
namespace {

using Names = std::vector<std::string>;

bool one_of(const std::string& op, const Names& names) {
    return std::find(names.begin(), names.end(), op) != names.end();
}

Array random(Shape shape, std::uint64_t stream) {
    Array a = Array::filled(std::move(shape), 0);
    for (std::size_t i = 0; i < a.v.size(); ++i)
        a.v[i] = static_cast<double>(mix64(stream * 0x10001 + i) >> 40) * 0x1p-23 - 1;
    return a;
}

bool close(double a, double b, double scale) { return std::abs(a - b) <= 1e-6 * scale; }

bool single(const Value& v) { return v.known && v.known->single(); }

// --- GELU and SiLU: functions of one number ------------------------------------------------------------------------

double gelu_erf(double x) { return 0.5 * x * (1 + std::erf(x / std::numbers::sqrt2)); }
double gelu_tanh(double x) {
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}
double silu(double x) { return x / (1 + std::exp(-x)); }

const Rules& pointwise() {
    static const Names ops{"Add",  "Sub",     "Mul", "Div", "Pow",        "Erf",
                           "Tanh", "Sigmoid", "Neg", "Exp", "Reciprocal", "Cast"};
    static const Rules rules{[](const Node& n) { return n.domain.empty() && one_of(n.op, ops); }, single};
    return rules;
}

bool computes(const Imported& g, const Region& r, double (*f)(double)) {
    Array x = Array::filled({33}, 0);
    for (std::size_t i = 0; i < x.v.size(); ++i) x.v[i] = (static_cast<double>(i) - 16) / 4;
    const auto y = value_of(g, r, x, {});
    if (!y || y->v.size() != x.v.size()) return false;
    for (std::size_t i = 0; i < x.v.size(); ++i)
        if (!close(y->v[i], f(x.v[i]), 4)) return false;
    return true;
}

bool take_activation(Imported& g, int at) {
    for (const int entry : sources_of(g, g.nodes[at].in[0], pointwise(), 8))
        for (const Region& r : regions_from(g, entry, pointwise())) {
            if (std::find(r.nodes.begin(), r.nodes.end(), at) == r.nodes.end()) continue;
            Node node;
            node.in = {entry};
            if (computes(g, r, silu)) {
                node.op = silu_node;
            } else if (const bool tanh = computes(g, r, gelu_tanh); tanh || computes(g, r, gelu_erf)) {
                node.op = gelu_node;
                node.attributes.ints["tanh"] = {tanh};
            } else {
                continue;
            }
            replace(g, r, node);
            return true;
        }
    return false;
}

// --- norms: functions of one row -----------------------------------------------------------------------------------

const Rules& rowwise() {
    static const Names ops{"Add", "Sub", "Mul", "Div", "Pow", "Sqrt", "Reciprocal", "ReduceMean", "Cast"};
    static const Rules rules{[](const Node& n) { return n.domain.empty() && one_of(n.op, ops); },
                             [](const Value& v) {
                                 const bool vector = !v.shape.empty() && elements(v.shape) == v.shape.back();
                                 return single(v) || (v.floating && vector);
                             }};
    return rules;
}

struct Row {
    const Array &x, &y;
    double largest = 0;

    /// Whether y = (x - mean) / sqrt(variance + eps) * scale + shift; not centred: mean 0, as in RMSNorm.
    bool is(bool centred, double eps, const Array* scale, const Array* shift) const {
        const double n = static_cast<double>(x.v.size());
        double mean = 0, square = 0;
        if (centred)
            for (const double v : x.v) mean += v / n;
        for (const double v : x.v) square += (v - mean) * (v - mean) / n;
        const double inverse = 1 / std::sqrt(square + eps);
        for (std::size_t i = 0; i < x.v.size(); ++i) {
            const double wanted = (x.v[i] - mean) * inverse * (scale ? scale->v[i] : 1) + (shift ? shift->v[i] : 0);
            if (std::abs(y.v[i] - wanted) > 1e-8 * largest) return false;
        }
        return true;
    }
};

bool take_norm(Imported& g, const Region& r) {
    const Shape& whole = g.value(r.entry).shape;
    if (whole.empty() || g.value(r.exit).shape != whole) return false;
    Shape shape(whole.size(), 1);
    shape.back() = whole.back();
    std::map<int, Array> vectors;
    std::vector<double> epsilons{0};
    for (const int c : r.constants) {
        const Value& v = g.value(c);
        if (single(v) && v.known->v[0] > 0 && v.known->v[0] < 0.1) epsilons.push_back(v.known->v[0]);
        if (!single(v)) vectors.emplace(c, random(v.shape, 7 + static_cast<std::uint64_t>(c)));
    }
    Array x = random(shape, 1);
    for (double& v : x.v) v = 1e-2 * (v + 0.5);  // small enough for eps to show
    const auto y = value_of(g, r, x, vectors);
    if (!y || y->v.size() != x.v.size()) return false;
    Row row{x, *y, 0};
    for (const double v : y->v) row.largest = std::max(row.largest, std::abs(v));
    std::vector<std::pair<int, const Array*>> choices{{-1, nullptr}};
    for (const auto& [c, a] : vectors) choices.emplace_back(c, &a);
    for (const bool centred : {true, false})
        for (const auto& [scale, s] : choices)
            for (const auto& [shift, b] : choices)
                for (const double eps : epsilons) {
                    if ((scale >= 0 && scale == shift) || (!centred && shift >= 0) || !row.is(centred, eps, s, b))
                        continue;
                    Node node;
                    node.op = centred ? layernorm_node : rmsnorm_node;
                    node.in = centred ? std::vector<int>{r.entry, scale, shift} : std::vector<int>{r.entry, scale};
                    node.attributes.floats["eps"] = eps;
                    replace(g, r, node);
                    return true;
                }
    return false;
}

bool take_norm(Imported& g, int at) {
    for (const int entry : sources_of(g, g.nodes[at].in[0], rowwise(), 3))
        for (const Region& r : regions_from(g, entry, rowwise()))
            if (std::find(r.nodes.begin(), r.nodes.end(), at) != r.nodes.end() && take_norm(g, r)) return true;
    return false;
}

// --- rotary positions: each pair of features turns with its place ---------------------------------------------------

Rules turning(bool reshapes) {
    static const Names plain{"Mul", "Add", "Sub", "Neg", "Slice", "Split", "Concat", "Cast"};
    static const Names more{"Unsqueeze", "Reshape", "Flatten", "Squeeze"};
    return {[reshapes](const Node& n) {
                return n.domain.empty() && (one_of(n.op, plain) || (reshapes && one_of(n.op, more)));
            },
            [](const Value& v) { return v.known && !(v.floating && v.known->single()); }};
}

/// The extent of a constant at an axis of a value of this rank; 1 where it repeats.
std::int64_t extent_at(const Shape& shape, std::size_t axis, std::size_t rank) {
    return axis + shape.size() < rank ? 1 : shape[axis + shape.size() - rank];
}

/// Angles at one place; x and y are one head's features there.
struct Turn {
    const double *x, *y;
    std::int64_t features;

    /// Features before this one turn.
    std::int64_t turned() const {
        std::int64_t n = features;
        while (n > 0 && std::abs(x[n - 1] - y[n - 1]) < 1e-13) --n;
        return n;
    }
    /// Angle by which a pair turns; nothing if it does not keep its length.
    std::optional<double> angle(std::int64_t a, std::int64_t b) const {
        const double before = std::hypot(x[a], x[b]), after = std::hypot(y[a], y[b]);
        if (!close(before, after, before)) return std::nullopt;
        return std::atan2(x[a] * y[b] - x[b] * y[a], x[a] * y[a] + x[b] * y[b]);
    }
    std::optional<double> second_angle(std::int64_t dim, bool interleaved) const {
        std::optional<double> second;
        for (std::int64_t i = 0; i < dim / 2; ++i) {
            const auto turn = interleaved ? angle(2 * i, 2 * i + 1) : angle(i, i + dim / 2);
            if (!turn) return std::nullopt;
            if (i == 1 || dim == 2) second = turn;
        }
        return second;
    }
};

bool take_rope(Imported& g, const Region& r, std::int64_t past) {
    const Shape& whole = g.value(r.entry).shape;
    if (whole.size() < 3 || g.value(r.exit).shape != whole) return false;
    Shape shape(whole.size(), 1);
    std::int64_t places = 1;
    for (std::size_t d = 0; d < shape.size(); ++d)
        for (const int c : r.constants)
            if (g.value(c).floating) shape[d] = std::max(shape[d], extent_at(g.value(c).shape, d, shape.size()));
    shape.back() = whole.back();
    for (std::size_t d = 1; d + 1 < shape.size(); ++d) places *= shape[d];
    const Array x = random(shape, 3);
    const auto y = value_of(g, r, x, {});
    if (!y || y->shape != shape) return false;
    const std::int64_t place = past > 0 ? 0 : 1, features = shape.back();
    if (place >= places) return false;
    const Turn turn{x.v.data() + place * features, y->v.data() + place * features, features};
    const std::int64_t dim = turn.turned();
    if (dim < 2 || dim % 2 != 0) return false;
    for (const bool interleaved : {false, true}) {
        const auto second = turn.second_angle(dim, interleaved);
        if (!second || (interleaved && dim == 2)) continue;
        Node node;
        node.op = rope_node;
        node.in = {r.entry};
        node.attributes.ints = {{"dim", {dim}}, {"interleaved", {interleaved}}};
        // angle of pair 1 at place 1: theta^(-2/dim)
        node.attributes.floats["theta"] = past > 0 || !(*second > 0) || dim == 2
                                              ? 10000
                                              : std::round(std::pow(*second, -0.5 * static_cast<double>(dim)));
        replace(g, r, node);
        return true;
    }
    return false;
}

bool take_rope(Imported& g, int at, std::int64_t past) {
    const Node& node = g.nodes[at];
    const Array* by = nullptr;
    int x = -1;
    for (std::size_t i = 0; i < 2; ++i)
        if (const Array* k = g.known(node, i)) by = k, x = node.in[1 - i];
    if (!by || by->shape.size() < 2 || by->v.size() < 2 || x < 0 || g.value(x).known) return false;
    for (const bool reshapes : {false, true}) {
        const Rules rules = turning(reshapes);
        std::vector<int> entries = sources_of(g, x, rules, 3);
        std::reverse(entries.begin(), entries.end());  // a head of which a part turns before that part
        for (const int entry : entries)
            for (const Region& r : regions_from(g, entry, rules))
                if (std::find(r.nodes.begin(), r.nodes.end(), at) != r.nodes.end() && take_rope(g, r, past))
                    return true;
    }
    return false;
}

}  // namespace

void recognise(Imported& g, std::int64_t past) {
    for (std::size_t i = 0; i < g.nodes.size(); ++i) {
        const Node& n = g.nodes[i];
        if (n.gone || !n.domain.empty()) continue;
        const int at = static_cast<int>(i);
        if (n.op == "Erf" || n.op == "Tanh" || n.op == "Sigmoid")
            take_activation(g, at);
        else if (n.op == "ReduceMean")
            take_norm(g, at);
        else if (n.op == "Mul")
            take_rope(g, at, past);
    }
}

}  // namespace wb::onnx_import
