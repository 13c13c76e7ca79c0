#include "kernels/workloads/onnx/translator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/workloads/onnx/array_moves.hpp"
#include "kernels/workloads/onnx/recognise.hpp"

namespace wb::onnx_import {

Translator::Translator(const Imported& graph, const Sizes& sizes)
    : g_(graph), sizes_(sizes), meanings_(graph.values.size()) {
    bool first = true;
    for (const int v : g_.inputs) {
        const Shape& shape = value(v).shape;
        if (value(v).floating && shape.size() == 4) continue;  // a cache: becomes a state where it is read
        if (first && shape.size() >= 2) batch_ = shape[0], seq_ = shape[1];
        if (first && shape.size() == 1) seq_ = shape[0];
        first = false;
        Shape matrix{elements(shape)};
        if (value(v).floating && !shape.empty()) matrix = {elements(shape) / shape.back(), shape.back()};
        meanings_[v] = View::dense(tensor(value(v).name, Role::input, matrix), shape);
    }
}

void Translator::run() {
    for (const Node& node : g_.nodes)
        if (!node.gone) translate(node);
    finish_outputs();
    if (unsupported_.empty()) part_products();
}

void Translator::translate(const Node& node) {
    const bool follows = std::all_of(node.in.begin(), node.in.end(), [&](int v) {
        return v < 0 || is_constant(v) || !std::holds_alternative<std::monostate>(meaning(v)) ||
               (value(v).input && value(v).floating);
    });
    const std::string& op = node.op;
    const std::string name = node.domain.empty() || node.domain == "ai.onnx" ? op : node.domain + "." + op;
    static const std::vector<std::string> known{"MatMul",     "Gemm",
                                                "Add",        "Mul",
                                                "Div",        "Where",
                                                "Softmax",    "LayerNormalization",
                                                "Gelu",       "RMSNormalization",
                                                "Max",        "IsNaN",
                                                "Gather",     "Concat",
                                                "Reshape",    "Transpose",
                                                "Squeeze",    "Unsqueeze",
                                                "Flatten",    "Identity",
                                                "Cast",       "Dropout",
                                                "Slice",      "Split",
                                                "Expand",     gelu_node,
                                                silu_node,    layernorm_node,
                                                rmsnorm_node, rope_node};
    if (std::find(known.begin(), known.end(), name) == known.end()) return fail(name);
    if (!follows) return;  // what it follows has been named
    bool done = false;
    if (op == "MatMul")
        done = product(node, false, false, -1);
    else if (op == "Gemm")
        done = gemm(node);
    else if (op == "Add")
        done = add(node);
    else if (op == "Mul" || op == "Div")
        done = multiply(node);
    else if (op == "Where" || op == "Max" || op == "IsNaN")
        done = mask(node);
    else if (op == "Softmax")
        done = softmax(node);
    else if (op == "LayerNormalization" || op == layernorm_node)
        done = norm(node, true);
    else if (op == "RMSNormalization" || op == rmsnorm_node)
        done = norm(node, false);
    else if (op == rope_node)
        done = rope(node);
    else if (op == gelu_node || op == "Gelu") {
        Attributes a;
        const auto form = node.attributes.words.find("approximate");
        a.tanh_form = op == gelu_node ? node.attributes.integer("tanh", 0) != 0
                                      : form != node.attributes.words.end() && form->second == "tanh";
        done = pointwise(node, OpKind::gelu, a);
    } else if (op == silu_node) {
        if (const View* x = as<View>(node, 0)) set(node, Activated{*x}), done = true;
    } else {
        done = move(node);
    }
    if (!done) fail(fmt::format("{} (in a place that is not known, as \"{}\")", op, node.name));
}

// --- words ---------------------------------------------------------------------------------------------------------

const Meaning& Translator::meaning(int v) {
    Meaning& m = meanings_[static_cast<std::size_t>(v)];
    if (std::holds_alternative<std::monostate>(m) && is_constant(v) && value(v).floating && value(v).shape.size() > 1)
        m = View::dense(weight_of(v, value(v).shape), value(v).shape);
    return m;
}

bool Translator::used_once(int v) const {
    const auto& users = value(v).users;
    return !value(v).output &&
           std::count_if(users.begin(), users.end(), [&](int user) { return !g_.nodes[user].gone; }) == 1;
}

std::optional<double> Translator::number(const Node& node, std::size_t i) const {
    const Array* a = g_.known(node, i);
    if (!a || !a->single()) return std::nullopt;
    return a->v[0];
}

int Translator::tensor(std::string name, Role role, Shape shape) {
    plan_.tensors.push_back({std::move(name), role, std::move(shape), 0, -1});
    return static_cast<int>(plan_.tensors.size()) - 1;
}

int Translator::weight_of(int v, const Shape& shape) {
    const auto [at, fresh] = weights_.emplace(v, 0);
    if (fresh) at->second = tensor(value(v).name, Role::weight, shape);
    return at->second;
}

/// A vector of n elements; a new one where the graph has none (a norm without shift).
int Translator::vector_of(int v, std::int64_t n, const std::string& name) {
    return v < 0 ? tensor(name, Role::weight, {n}) : weight_of(v, {n});
}

int Translator::emit(OpKind kind, const Node& node, std::vector<int> in, Shape out, const Attributes& a) {
    std::string name = !node.name.empty() ? node.name : value(node.out.at(0)).name;
    const int to = tensor(name, Role::activation, std::move(out));
    plan_.tensors[to].producer = static_cast<int>(plan_.ops.size());
    plan_.ops.push_back({kind, std::move(name), std::move(in), to, a});
    return to;
}

void Translator::set(const Node& node, Meaning m, std::size_t i) {
    meanings_[static_cast<std::size_t>(node.out.at(i))] = std::move(m);
}

Attributes Translator::sequence() const {
    Attributes a;
    a.batch = batch_;
    a.seq = seq_;
    return a;
}

std::optional<int> Translator::tensor_of(const View& view) {
    if (view.base < 0 || view.scale != 1) return std::nullopt;
    const Shape& shape = plan_.tensors[view.base].shape;
    if (shape.size() == 1) {
        if (view.offset == 0 && view.flat() == View::dense(0, shape).flat()) return view.base;
        return std::nullopt;
    }
    if (shape.size() != 2) return std::nullopt;
    const auto columns = columns_of(view, shape[0], shape[1]);
    if (!columns) return std::nullopt;
    if (*columns == Columns{0, View::dense(0, {shape[1]}).flat()}) return view.base;
    for (const Part& p : parts_)
        if (p.whole == view.base && p.columns == *columns) return p.tensor;
    const int part = tensor(fmt::format("{}.{}", plan_.tensors[view.base].name, parts_.size()), Role::activation,
                            {shape[0], columns->count()});
    parts_.push_back({view.base, *columns, part});
    return part;
}

std::optional<Translator::Matrix> Translator::matrix_of(const View& view) {
    std::vector<std::vector<std::int64_t>> orders{{}};
    for (std::size_t d = 0; d < view.axes.size(); ++d) orders[0].push_back(static_cast<std::int64_t>(d));
    if (view.axes.size() == 4) orders.push_back({0, 2, 1, 3});  // heads before tokens
    for (const auto& order : orders) {
        const View arranged = view.transposed(order);
        if (const auto t = tensor_of(arranged)) return Matrix{*t, order, arranged.shape()};
    }
    return std::nullopt;
}

View Translator::seen_as(const Matrix& like, int to) const {
    return View::dense(to, like.arranged).transposed(like.order);  // exchanging two axes undoes itself
}

// --- rows of tokens ------------------------------------------------------------------------------------------------

bool Translator::pointwise(const Node& node, OpKind kind, const Attributes& a) {
    const View* x = as<View>(node, 0);
    const auto m = x ? matrix_of(*x) : std::nullopt;
    if (!m) return false;
    const int y = emit(kind, node, {m->tensor}, plan_.tensors[m->tensor].shape, a);
    return set(node, seen_as(*m, y)), true;
}

bool Translator::norm(const Node& node, bool centred) {
    const View* x = as<View>(node, 0);
    const auto m = x ? matrix_of(*x) : std::nullopt;
    const std::int64_t rank = static_cast<std::int64_t>(value(node.in[0]).shape.size());
    if (!m || axis_of(node.attributes.integer("axis", -1), rank) != rank - 1) return false;
    const Shape shape = plan_.tensors[m->tensor].shape;
    const std::int64_t width = value(node.in[0]).shape.back();
    Attributes a;
    a.eps = node.attributes.number("eps", node.attributes.number("epsilon", 1e-5));
    a.heads = shape[1] / width;
    const std::string& name = value(node.out[0]).name;
    const auto vector = [&](std::size_t i, const char* what) {
        return vector_of(i < node.in.size() ? node.in[i] : -1, width, name + what);
    };
    std::vector<int> in{m->tensor, vector(1, ".scale")};
    if (centred) in.push_back(vector(2, ".shift"));
    const int y = emit(centred ? OpKind::layernorm : OpKind::rmsnorm, node, in, shape, a);
    return set(node, seen_as(*m, y)), true;
}

bool Translator::rope(const Node& node) {
    const View* x = as<View>(node, 0);
    const auto m = x ? matrix_of(*x) : std::nullopt;
    if (!m) return false;
    const Shape shape = plan_.tensors[m->tensor].shape;
    Attributes a = sequence();
    a.heads = shape[1] / value(node.in[0]).shape.back();
    a.offset = sizes_.past;
    a.rotary_dim = node.attributes.integer("dim", 0);
    a.interleaved = node.attributes.integer("interleaved", 0) != 0;
    a.theta = node.attributes.number("theta", 10000);
    return set(node, seen_as(*m, emit(OpKind::rope, node, {m->tensor}, shape, a))), true;
}

bool Translator::softmax(const Node& node) {
    const std::int64_t rank = static_cast<std::int64_t>(value(node.in[0]).shape.size());
    if (axis_of(node.attributes.integer("axis", -1), rank) != rank - 1) return false;
    if (const Scores* s = as<Scores>(node, 0)) {
        Scores after = *s;
        if (after.normalised) return false;
        after.normalised = true;
        return set(node, after), true;
    }
    return pointwise(node, OpKind::softmax, {});
}

bool Translator::add(const Node& node) {
    for (std::size_t i = 0; i < 2; ++i) {
        const std::size_t other = 1 - i;
        if (const Scores* s = as<Scores>(node, i)) {
            const Array* by = g_.known(node, other);
            Scores masked = *s;
            if (!by || !hide(masked, *by, false)) return false;
            return set(node, masked), true;
        }
        if (const Positions* p = as<Positions>(node, i))
            if (const View* x = as<View>(node, other)) {
                const auto t = tensor_of(*x);
                if (!t) return false;
                Attributes a = sequence();
                a.offset = p->first;
                const int y = emit(OpKind::position_embed, node, {*t, p->table}, plan_.tensors[*t].shape, a);
                return set(node, View::dense(y, value(node.out[0]).shape)), true;
            }
    }
    for (std::size_t i = 0; i < 2; ++i)
        if (is_constant(node.in[i]) && !is_constant(node.in[1 - i]))
            if (const View* x = as<View>(node, 1 - i)) return add_constant(node, *x, node.in[i]);
    const View *x = as<View>(node, 0), *y = as<View>(node, 1);
    if (!x || !y || value(node.in[0]).shape != value(node.in[1]).shape) return false;
    const auto a = tensor_of(*x), b = tensor_of(*y);
    if (!a || !b || plan_.tensors[*a].shape != plan_.tensors[*b].shape) return false;
    const int sum = emit(OpKind::add, node, {*a, *b}, plan_.tensors[*a].shape);
    return set(node, View::dense(sum, value(node.out[0]).shape)), true;
}

/// A bias belongs to the product before it; a table of rows for each place is one of positions.
bool Translator::add_constant(const Node& node, const View& x, int constant) {
    const Shape& shape = value(constant).shape;
    const auto t = tensor_of(x);
    if (!t) return false;
    Plan::Tensor& to = plan_.tensors[*t];
    const std::int64_t n = elements(shape);
    if (n == to.shape.back() && n == value(node.out[0]).shape.back()) {
        const int v = node.in[0] == constant ? node.in[1] : node.in[0];
        Plan::Op* const by = to.producer >= 0 ? &plan_.ops[static_cast<std::size_t>(to.producer)] : nullptr;
        if (!by || by->kind != OpKind::matmul || by->in.size() != 2 || !used_once(v)) return false;
        by->in.push_back(weight_of(constant, {n}));
        return set(node, x), true;
    }
    if (n != seq_ * to.shape.back() || shape.size() < 2) return false;
    Attributes a = sequence();
    const int table = weight_of(constant, {seq_, to.shape.back()});
    const int y = emit(OpKind::position_embed, node, {*t, table}, Shape(plan_.tensors[*t].shape), a);
    return set(node, View::dense(y, value(node.out[0]).shape)), true;
}

bool Translator::multiply(const Node& node) {
    const bool divides = node.op == "Div";
    for (std::size_t i = 0; i < 2; ++i) {
        const auto by = number(node, 1 - i);
        if (!by || (divides && i == 1)) continue;
        const double factor = divides ? 1 / *by : *by;
        if (const Scores* s = as<Scores>(node, i)) {
            Scores scaled = *s;
            if (scaled.normalised || !scaled.hidden.empty()) return false;
            scaled.scale *= factor;
            return set(node, scaled), true;
        }
        if (const View* x = as<View>(node, i)) {
            View scaled = *x;
            scaled.scale *= factor;
            return set(node, scaled), true;
        }
        return false;
    }
    for (std::size_t i = 0; i < 2 && !divides; ++i)
        if (const Activated* gate = as<Activated>(node, i))
            if (const View* up = as<View>(node, 1 - i)) {
                const auto a = tensor_of(gate->x), b = tensor_of(*up);
                if (!a || !b || plan_.tensors[*a].shape != plan_.tensors[*b].shape) return false;
                const int y = emit(OpKind::silu_mul, node, {*a, *b}, Shape(plan_.tensors[*a].shape));
                return set(node, View::dense(y, value(node.out[0]).shape)), true;
            }
    return false;
}

void Translator::finish_outputs() {
    bool any = false;
    for (const int v : g_.outputs) {
        const View* x = std::get_if<View>(&meanings_[static_cast<std::size_t>(v)]);
        if (!x || plan_.tensors[x->base].role != Role::activation) continue;  // a cache, which stays where it is
        const Shape& shape = plan_.tensors[x->base].shape;
        if (x->offset != 0 || x->flat() != View::dense(0, shape).flat()) continue;  // keys and values, seen by heads
        plan_.tensors[x->base].role = Role::output;
        any = true;
    }
    if (!any && unsupported_.empty()) fail("(no output that an operator computes)");
}

}  // namespace wb::onnx_import
