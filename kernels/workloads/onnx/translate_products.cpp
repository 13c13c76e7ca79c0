#include <fmt/format.h>

#include <algorithm>

#include "kernels/workloads/onnx/translator.hpp"

namespace wb::onnx_import {

bool Translator::gemm(const Node& node) {
    const NodeAttributes& a = node.attributes;
    if (a.number("alpha", 1) != 1 || a.number("beta", 1) != 1) return false;
    const int bias = node.in.size() > 2 ? node.in[2] : -1;
    if (bias >= 0 && (!is_constant(bias) || elements(value(bias).shape) != value(node.out[0]).shape.back()))
        return false;
    return product(node, a.integer("transA", 0) != 0, a.integer("transB", 0) != 0, bias);
}

bool Translator::product(const Node& node, bool trans_a, bool trans_b, int bias) {
    if (const Scores* s = as<Scores>(node, 0)) {
        const View* v = as<View>(node, 1);
        return v && attend(node, *s, *v);
    }
    const View *x = as<View>(node, 0), *w = as<View>(node, 1);
    if (!x || !w || trans_a) return false;
    if (plan_.tensors[w->base].role != Role::weight) return scores(node, *x, *w);
    Shape ws = value(node.in[1]).shape;
    while (ws.size() > 2 && ws.front() == 1) ws.erase(ws.begin());
    const auto t = tensor_of(*x);
    const std::int64_t k = value(node.in[0]).shape.back();
    if (!t || ws.size() != 2 || plan_.tensors[*t].shape != Shape{elements(value(node.in[0]).shape) / k, k})
        return false;
    const std::int64_t n = trans_b ? ws[0] : ws[1];
    Attributes a;
    const auto seen = w->reshaped(ws);
    const Shape& stored = plan_.tensors[w->base].shape;
    int by = w->base;
    if (seen && stored.size() == 2 && seen->flat() == View::dense(0, ws).flat() && stored == ws && w->offset == 0) {
        a.trans_b = trans_b;
    } else if (seen && stored == Shape{ws[1], ws[0]} && w->offset == 0 &&
               seen->transposed({1, 0}).flat() == View::dense(0, stored).flat()) {
        a.trans_b = !trans_b;
    } else {
        by = weight_of(node.in[1], ws);  // a part of another matrix: one of its own
        a.trans_b = trans_b;
    }
    if (w->scale != 1) return false;
    std::vector<int> in{*t, by};
    if (bias >= 0) in.push_back(weight_of(bias, {n}));
    const int y = emit(OpKind::matmul, node, in, {plan_.tensors[*t].shape[0], n}, a);
    return set(node, View::dense(y, value(node.out[0]).shape)), true;
}

/// What is left of the whole is made of its parts: q, k and v from one product become three.
void Translator::part_products() {
    std::map<int, std::vector<Part>> by_whole;
    for (const Part& p : parts_) by_whole[p.whole].push_back(p);
    std::vector<Plan::Op> ops;
    for (const Plan::Op& op : plan_.ops) {
        const auto parts = by_whole.find(op.out);
        if (parts == by_whole.end()) {
            ops.push_back(op);
            continue;
        }
        const Shape shape = plan_.tensors[op.out].shape;
        std::int64_t covered = 0;
        for (const Part& p : parts->second) covered += p.columns.count();
        const bool whole_used = plan_.tensors[op.out].role == Role::output ||
                                std::any_of(plan_.ops.begin(), plan_.ops.end(), [&](const Plan::Op& other) {
                                    return std::find(other.in.begin(), other.in.end(), op.out) != other.in.end();
                                });
        if (op.kind != OpKind::matmul || whole_used || covered != shape[1]) {
            fail(fmt::format("Split or Slice (of \"{}\", whose parts are not those of one product)", op.name));
            continue;
        }
        for (std::size_t i = 0; i < parts->second.size(); ++i) {
            const Part& p = parts->second[i];
            Plan::Op part = op;
            part.name = fmt::format("{}.{}", op.name, i);
            part.out = p.tensor;
            part.attributes.trans_b = false;
            const std::int64_t k = plan_.tensors[op.in[0]].shape[1];
            part.in[1] =
                tensor(fmt::format("{}.{}", plan_.tensors[op.in[1]].name, i), Role::weight, {k, p.columns.count()});
            if (op.in.size() > 2)
                part.in[2] =
                    tensor(fmt::format("{}.{}", plan_.tensors[op.in[2]].name, i), Role::weight, {p.columns.count()});
            ops.push_back(part);
        }
    }
    plan_.ops = std::move(ops);
    for (std::size_t i = 0; i < plan_.ops.size(); ++i)
        if (plan_.ops[i].out >= 0) plan_.tensors[plan_.ops[i].out].producer = static_cast<int>(i);
    for (const Part& p : parts_)
        if (plan_.tensors[p.tensor].producer < 0 && unsupported_.empty())
            fail(fmt::format("Split or Slice (of \"{}\", which is no product)", plan_.tensors[p.whole].name));
}

}  // namespace wb::onnx_import
