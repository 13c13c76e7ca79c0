#include "kernels/workloads/onnx/array.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "kernels/workloads/onnx/array_moves.hpp"

namespace wb::onnx_import {
namespace {

using Arrays = std::vector<Array>;
using Unary = double (*)(double);
using Binary = double (*)(double, double);

const std::map<std::string, Unary>& unaries() {
    static const std::map<std::string, Unary> table{
        {"Neg", [](double x) { return -x; }},
        {"Abs", [](double x) { return std::abs(x); }},
        {"Sqrt", [](double x) { return std::sqrt(x); }},
        {"Reciprocal", [](double x) { return 1 / x; }},
        {"Exp", [](double x) { return std::exp(x); }},
        {"Log", [](double x) { return std::log(x); }},
        {"Erf", [](double x) { return std::erf(x); }},
        {"Tanh", [](double x) { return std::tanh(x); }},
        {"Sigmoid", [](double x) { return 1 / (1 + std::exp(-x)); }},
        {"Relu", [](double x) { return std::max(x, 0.0); }},
        {"Softplus", [](double x) { return std::log1p(std::exp(x)); }},
        {"Sin", [](double x) { return std::sin(x); }},
        {"Cos", [](double x) { return std::cos(x); }},
        {"Floor", [](double x) { return std::floor(x); }},
        {"Ceil", [](double x) { return std::ceil(x); }},
        {"Round", [](double x) { return std::nearbyint(x); }},
        {"Sign", [](double x) { return static_cast<double>((x > 0) - (x < 0)); }},
        {"Not", [](double x) { return static_cast<double>(x == 0); }},
        {"IsNaN", [](double x) { return static_cast<double>(std::isnan(x)); }},
        {"IsInf", [](double x) { return static_cast<double>(std::isinf(x)); }},
    };
    return table;
}

double floor_mod(double a, double b) {
    const double r = std::fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

const std::map<std::string, Binary>& binaries() {
    static const std::map<std::string, Binary> table{
        {"Add", [](double a, double b) { return a + b; }},
        {"Sub", [](double a, double b) { return a - b; }},
        {"Mul", [](double a, double b) { return a * b; }},
        {"Div", [](double a, double b) { return a / b; }},
        {"Pow", [](double a, double b) { return std::pow(a, b); }},
        {"Mod", floor_mod},
        {"Min", [](double a, double b) { return std::min(a, b); }},
        {"Max", [](double a, double b) { return std::max(a, b); }},
        {"And", [](double a, double b) { return static_cast<double>(a != 0 && b != 0); }},
        {"Or", [](double a, double b) { return static_cast<double>(a != 0 || b != 0); }},
        {"Xor", [](double a, double b) { return static_cast<double>((a != 0) != (b != 0)); }},
        {"Equal", [](double a, double b) { return static_cast<double>(a == b); }},
        {"Less", [](double a, double b) { return static_cast<double>(a < b); }},
        {"LessOrEqual", [](double a, double b) { return static_cast<double>(a <= b); }},
        {"Greater", [](double a, double b) { return static_cast<double>(a > b); }},
        {"GreaterOrEqual", [](double a, double b) { return static_cast<double>(a >= b); }},
    };
    return table;
}

std::optional<Array> combined(const Array& a, const Array& b, const std::function<double(double, double)>& f,
                              std::size_t most) {
    const auto shape = broadcast(a.shape, b.shape);
    if (!shape || static_cast<std::size_t>(elements(*shape)) > most) return std::nullopt;
    Array out = Array::filled(*shape, 0);
    const Walk wa(a.shape, *shape), wb(b.shape, *shape);
    for (std::size_t i = 0; i < out.v.size(); ++i) out.v[i] = f(a.v[wa(i)], b.v[wb(i)]);
    return out;
}

std::optional<Array> where(const Array& c, const Array& a, const Array& b, std::size_t most) {
    const auto both = broadcast(a.shape, b.shape);
    const auto shape = both ? broadcast(c.shape, *both) : both;
    if (!shape || static_cast<std::size_t>(elements(*shape)) > most) return std::nullopt;
    Array out = Array::filled(*shape, 0);
    const Walk wc(c.shape, *shape), wa(a.shape, *shape), wb(b.shape, *shape);
    for (std::size_t i = 0; i < out.v.size(); ++i) out.v[i] = c.v[wc(i)] != 0 ? a.v[wa(i)] : b.v[wb(i)];
    return out;
}

std::optional<Array> product(const Array& a, const Array& b, std::size_t most) {
    if (a.shape.size() < 2 || b.shape.size() < 2) return std::nullopt;
    const auto batch = broadcast(Shape(a.shape.begin(), a.shape.end() - 2), Shape(b.shape.begin(), b.shape.end() - 2));
    const std::int64_t m = a.shape[a.shape.size() - 2], k = a.shape.back(), n = b.shape.back();
    if (!batch || b.shape[b.shape.size() - 2] != k) return std::nullopt;
    if (static_cast<std::size_t>(elements(*batch) * m * n) > most ||
        static_cast<std::size_t>(elements(*batch) * m * n * k) > 64 * most)
        return std::nullopt;
    const Walk wa(Shape(a.shape.begin(), a.shape.end() - 2), *batch),
        wb(Shape(b.shape.begin(), b.shape.end() - 2), *batch);
    Shape shape = *batch;
    shape.insert(shape.end(), {m, n});
    Array out = Array::filled(shape, 0);
    for (std::int64_t x = 0; x < elements(*batch); ++x)
        for (std::int64_t i = 0; i < m; ++i)
            for (std::int64_t j = 0; j < n; ++j) {
                double sum = 0;
                for (std::int64_t l = 0; l < k; ++l)
                    sum += a.v[wa(x) * m * k + i * k + l] * b.v[wb(x) * k * n + l * n + j];
                out.v[(x * m + i) * n + j] = sum;
            }
    return out;
}

Array reduced(const std::string& op, const Array& x, std::vector<std::int64_t> axes, bool keep) {
    if (axes.empty())
        for (std::size_t d = 0; d < x.shape.size(); ++d) axes.push_back(static_cast<std::int64_t>(d));
    Shape kept = x.shape;
    for (const std::int64_t a : axes) kept[axis_of(a, kept.size())] = 1;
    Array out = Array::filled(kept, op == "ReduceMax" ? -INFINITY : op == "ReduceMin" ? INFINITY : op == "ReduceProd");
    const Walk walk(kept, x.shape);
    for (std::size_t i = 0; i < x.v.size(); ++i) {
        double& to = out.v[walk(i)];
        if (op == "ReduceMax")
            to = std::max(to, x.v[i]);
        else if (op == "ReduceMin")
            to = std::min(to, x.v[i]);
        else if (op == "ReduceProd")
            to *= x.v[i];
        else
            to += op == "ReduceSumSquare" || op == "ReduceL2" ? x.v[i] * x.v[i] : x.v[i];
    }
    const double each = static_cast<double>(x.v.size()) / static_cast<double>(out.v.size());
    for (double& to : out.v) to = op == "ReduceMean" ? to / each : op == "ReduceL2" ? std::sqrt(to) : to;
    if (keep) return out;
    Shape left;
    for (std::size_t d = 0; d < x.shape.size(); ++d)
        if (std::none_of(axes.begin(), axes.end(),
                         [&](std::int64_t a) { return axis_of(a, kept.size()) == std::int64_t(d); }))
            left.push_back(x.shape[d]);
    return {left, out.v};
}

Array range(double first, double last, double step) {
    Array out;
    for (double x = first; step > 0 ? x < last : x > last; x += step) out.v.push_back(x);
    out.shape = {static_cast<std::int64_t>(out.v.size())};
    return out;
}

Array triangle(const Array& x, std::int64_t k, bool upper) {
    Array out = x;
    const std::int64_t rows = x.shape[x.shape.size() - 2], columns = x.shape.back();
    for (std::size_t i = 0; i < out.v.size(); ++i) {
        const std::int64_t c = static_cast<std::int64_t>(i) % columns,
                           r = static_cast<std::int64_t>(i) / columns % rows;
        if (upper ? c - r < k : c - r > k) out.v[i] = 0;
    }
    return out;
}

Array softmax(const Array& x) {
    Array out = x;
    const std::size_t n = static_cast<std::size_t>(x.shape.back());
    for (std::size_t r = 0; r < x.v.size(); r += n) {
        const double top = *std::max_element(x.v.begin() + r, x.v.begin() + r + n);
        double sum = 0;
        for (std::size_t j = r; j < r + n; ++j) sum += out.v[j] = std::exp(x.v[j] - top);
        for (std::size_t j = r; j < r + n; ++j) out.v[j] /= sum;
    }
    return out;
}

std::optional<Arrays> one(std::optional<Array> a) {
    if (!a) return std::nullopt;
    return Arrays{std::move(*a)};
}

std::optional<Arrays> special(const std::string& op, const std::vector<const Array*>& in, const NodeAttributes& a,
                              bool whole, std::size_t most) {
    const auto given = [&](std::size_t i) { return i < in.size() && in[i]; };
    if (op == "Constant" && a.arrays.contains("value")) return Arrays{a.arrays.at("value")};
    if (op == "Constant" && a.floats.contains("value_float")) return Arrays{Array::scalar(a.floats.at("value_float"))};
    if (op == "Constant" && a.ints.contains("value_int"))
        return Arrays{Array::scalar(static_cast<double>(a.ints.at("value_int").front()))};
    if (op == "Constant" && a.ints.contains("value_ints")) {
        const auto& v = a.ints.at("value_ints");
        return Arrays{{{static_cast<std::int64_t>(v.size())}, {v.begin(), v.end()}}};
    }
    if (op == "MatMul" && given(0) && given(1)) return one(product(*in[0], *in[1], most));
    if (op == "Where" && given(2)) return one(where(*in[0], *in[1], *in[2], most));
    if (op == "Range" && given(2)) {
        const double steps = (in[1]->v.at(0) - in[0]->v.at(0)) / in[2]->v.at(0);
        if (!(steps <= static_cast<double>(most))) return std::nullopt;
        return Arrays{range(in[0]->v.at(0), in[1]->v.at(0), in[2]->v.at(0))};
    }
    if (op == "Trilu") {
        const std::int64_t k = given(1) ? static_cast<std::int64_t>(in[1]->v.at(0)) : 0;
        return Arrays{triangle(*in[0], k, a.integer("upper", 1) != 0)};
    }
    if (op == "Cast") {
        Array out = *in[0];
        if (whole)
            for (double& x : out.v) x = std::trunc(x);
        if (a.integer("to", 0) == 9)  // BOOL
            for (double& x : out.v) x = x != 0;
        return Arrays{out};
    }
    if (op.starts_with("Reduce")) {
        std::vector<std::int64_t> axes = a.list("axes");
        if (given(1)) axes.assign(in[1]->v.begin(), in[1]->v.end());
        return Arrays{reduced(op, *in[0], axes, a.integer("keepdims", 1) != 0)};
    }
    if (op == "Softmax" && axis_of(a.integer("axis", -1), in[0]->shape.size()) + 1 == std::int64_t(in[0]->shape.size()))
        return Arrays{softmax(*in[0])};
    if (op == "CumSum" && in[0]->shape.size() >= 1 && given(1) &&
        axis_of(static_cast<std::int64_t>(in[1]->v.at(0)), in[0]->shape.size()) + 1 ==
            std::int64_t(in[0]->shape.size())) {
        Array out = *in[0];
        for (std::size_t i = 1; i < out.v.size(); ++i)
            if (i % static_cast<std::size_t>(out.shape.back()) != 0) out.v[i] += out.v[i - 1];
        return Arrays{out};
    }
    return std::nullopt;
}

constexpr const char* specials[] = {"Constant",   "MatMul",          "Where",     "Range",     "Trilu",
                                    "Cast",       "ReduceMean",      "ReduceSum", "ReduceMax", "ReduceMin",
                                    "ReduceProd", "ReduceSumSquare", "ReduceL2",  "Softmax",   "CumSum"};

}  // namespace

Array Array::filled(Shape s, double x) {
    const auto n = static_cast<std::size_t>(elements(s));
    return {std::move(s), std::vector<double>(n, x)};
}

std::int64_t NodeAttributes::integer(const std::string& name, std::int64_t fallback) const {
    const auto at = ints.find(name);
    return at == ints.end() || at->second.empty() ? fallback : at->second.front();
}

double NodeAttributes::number(const std::string& name, double fallback) const {
    const auto at = floats.find(name);
    return at == floats.end() ? fallback : at->second;
}

std::vector<std::int64_t> NodeAttributes::list(const std::string& name) const {
    const auto at = ints.find(name);
    return at == ints.end() ? std::vector<std::int64_t>{} : at->second;
}

bool can_evaluate(const std::string& op) {
    return unaries().contains(op) || binaries().contains(op) || moves_data(op) ||
           std::find(std::begin(specials), std::end(specials), op) != std::end(specials);
}

std::optional<std::vector<Array>> evaluate(const std::string& op, const std::vector<const Array*>& in,
                                           const NodeAttributes& attributes, std::size_t outputs, bool whole,
                                           std::size_t most_elements) {
    if (op != "Constant" && (in.empty() || !in[0])) return std::nullopt;
    if (const auto f = unaries().find(op); f != unaries().end()) {
        Array out = *in[0];
        for (double& x : out.v) x = f->second(x);
        return Arrays{std::move(out)};
    }
    if (const auto f = binaries().find(op); f != binaries().end()) {
        std::optional<Array> sum = *in[0];
        for (std::size_t i = 1; i < in.size() && sum; ++i) sum = combined(*sum, *in[i], f->second, most_elements);
        if (sum && whole && op == "Div")
            for (double& x : sum->v) x = std::trunc(x);
        return one(std::move(sum));
    }
    if (moves_data(op)) return move_data(op, in, attributes, outputs, most_elements);
    return special(op, in, attributes, whole, most_elements);
}

}  // namespace wb::onnx_import
