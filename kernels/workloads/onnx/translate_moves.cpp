#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/workloads/onnx/array_moves.hpp"
#include "kernels/workloads/onnx/translator.hpp"

namespace wb::onnx_import {

bool Translator::move_to(const Node& node, std::optional<View> view) {
    if (!view) return false;
    return set(node, std::move(*view)), true;
}

bool Translator::move(const Node& node) {
    const std::string& op = node.op;
    if (op == "Gather") return gather(node);
    if (op == "Concat") return concat(node);
    if (op == "Identity" || op == "Cast" || op == "Dropout") return set(node, meaning(node.in.at(0))), true;
    if (const Positions* p = as<Positions>(node, 0)) return set(node, *p), true;  // of a batch that is added later
    const View* x = as<View>(node, 0);
    if (!x) return false;
    const Shape& to = value(node.out[0]).shape;
    if (op == "Transpose") return move_to(node, x->transposed(permutation_of(x->axes.size(), node.attributes)));
    if (op == "Slice") return cut(node, *x);
    if (op == "Split") return split(node, *x);
    if (op == "Expand") return move_to(node, x->expanded(to));
    return move_to(node, x->reshaped(to));
}

bool Translator::cut(const Node& node, const View& x) {
    std::vector<const Array*> in;
    for (std::size_t i = 0; i < node.in.size(); ++i) in.push_back(g_.known(node, i));
    const auto ranges = slice_ranges(value(node.in[0]).shape, in, node.attributes);
    if (!ranges) return false;
    std::optional<View> out = x;
    for (std::size_t d = 0; d < ranges->size() && out; ++d) {
        const SliceRange& r = (*ranges)[d];
        const std::int64_t extent = value(node.in[0]).shape[d];
        if (r.first == 0 && r.count == extent && r.step == 1) continue;
        if (d == 1 && ranges->size() == 3 && r.count == 1 && plan_.tensors[x.base].role != Role::weight)
            return one_row(node, x);
        out = r.step == 1 ? out->cut(d, r.first, r.count) : std::nullopt;
    }
    return move_to(node, out);
}

bool Translator::split(const Node& node, const View& x) {
    std::vector<const Array*> in;
    for (std::size_t i = 0; i < node.in.size(); ++i) in.push_back(g_.known(node, i));
    const Shape& shape = value(node.in[0]).shape;
    const auto axis = static_cast<std::size_t>(axis_of(node.attributes.integer("axis", 0), shape.size()));
    std::int64_t first = 0;
    const auto sizes = split_sizes(shape.at(axis), in, node.attributes, node.out.size());
    for (std::size_t i = 0; i < sizes.size() && i < node.out.size(); first += sizes[i++]) {
        const auto part = x.cut(axis, first, sizes[i]);
        if (!part) return false;
        if (node.out[i] >= 0) set(node, *part, i);
    }
    return true;
}

/// One token of every sequence: the last, of which a decoder wants logits, or the first, which an encoder pools. Both
/// cost the same.
bool Translator::one_row(const Node& node, const View& x) {
    const auto t = tensor_of(x);
    if (!t) return false;
    const Shape shape = plan_.tensors[*t].shape;
    if (shape.size() != 2 || shape[0] != tokens()) return false;
    const int y = emit(OpKind::last_rows, node, {*t}, {batch_, shape[1]}, sequence());
    return set(node, View::dense(y, value(node.out[0]).shape)), true;
}

/// Rows of a trained table by numbers given at run time, or by place.
bool Translator::gather(const Node& node) {
    const Value &data = value(node.in.at(0)), &index = value(node.in.at(1));
    const std::int64_t axis = axis_of(node.attributes.integer("axis", 0), data.shape.size());
    if (!is_constant(node.in[0])) {
        const View* x = as<View>(node, 0);
        const auto at = number(node, 1);
        if (!x || !at) return false;
        if (axis == 1 && data.shape.size() == 3 && value(node.out[0]).shape.back() == data.shape.back() &&
            plan_.tensors[x->base].shape == Shape{tokens(), data.shape[2]})
            return one_row(node, *x);
        auto part =
            x->cut(static_cast<std::size_t>(axis),
                   *at < 0 ? static_cast<std::int64_t>(*at) + data.shape[axis] : static_cast<std::int64_t>(*at), 1);
        return move_to(node, part ? part->reshaped(value(node.out[0]).shape) : std::nullopt);
    }
    if (axis != 0 || data.shape.size() != 2) return false;
    const int table = weight_of(node.in[0], data.shape);
    if (index.known) {
        const std::vector<double>& places = index.known->v;
        bool in_order = static_cast<std::int64_t>(places.size()) % seq_ == 0;
        for (std::size_t i = 0; i < places.size() && in_order; ++i)
            in_order = places[i] == places[0] + static_cast<double>(static_cast<std::int64_t>(i) % seq_);
        if (in_order && seq_ > 1) return set(node, Positions{table, static_cast<std::int64_t>(places[0])}), true;
    }
    int ids = -1;
    if (const View* x = as<View>(node, 1))
        ids = tensor_of(*x).value_or(-1);
    else if (index.known && static_cast<std::int64_t>(index.known->v.size()) <= tokens())
        ids = tensor(index.name, Role::input, {tokens()});
    if (ids < 0 || plan_.tensors[ids].shape.size() != 1) return false;
    plan_.tensors[ids].vocabulary = static_cast<double>(data.shape[0]);
    const int y = emit(OpKind::embed, node, {ids, table}, {plan_.tensors[ids].shape[0], data.shape[1]});
    Shape shape = value(node.out[0]).shape;
    if (elements(shape) != plan_.tensors[ids].shape[0] * data.shape[1]) shape = {batch_, seq_, data.shape[1]};
    return set(node, View::dense(y, shape)), true;
}

/// The keys or values of a cache, then those of the new tokens.
bool Translator::concat(const Node& node) {
    if (node.in.size() != 2 || value(node.out[0]).shape.size() != 4) return false;
    const Value& past = value(node.in[0]);
    const View* now = as<View>(node, 1);
    if (!past.input || !past.floating || !now || axis_of(node.attributes.integer("axis", 0), 4) != 2) return false;
    const auto rows = tensor_of(now->transposed({0, 2, 1, 3}));
    if (!rows) return false;
    Attributes a = sequence();
    a.offset = past.shape[2];
    a.seq_kv = a.offset + seq_;
    const Shape& shape = value(node.out[0]).shape;
    const int state = tensor(past.name, Role::state, {batch_ * a.seq_kv, shape[1] * shape[3]});
    plan_.ops.push_back(
        {OpKind::cache_write, node.name.empty() ? past.name + "_write" : node.name, {state, *rows}, -1, a});
    return set(node, View::dense(state, {batch_, a.seq_kv, shape[1], shape[3]}).transposed({0, 2, 1, 3})), true;
}

}  // namespace wb::onnx_import
