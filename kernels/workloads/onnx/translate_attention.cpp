#include <algorithm>
#include <cmath>

#include "kernels/workloads/onnx/array_moves.hpp"
#include "kernels/workloads/onnx/translator.hpp"

namespace wb::onnx_import {
namespace {

/// Axes batch, heads, tokens, features, for values that join the first two.
std::optional<View> by_heads(const View& view, std::int64_t batch) {
    const Shape shape = view.shape();
    if (shape.size() == 4) return view;
    if (shape.size() != 3 || shape[0] % batch != 0) return std::nullopt;
    return view.reshaped({batch, shape[0] / batch, shape[1], shape[2]});
}

/// Heads that read the same keys are one head seen several times: digits that do not step. Returns how many share one,
/// and takes them out; nothing if they do not run fastest.
std::optional<std::int64_t> take_shared(View& view) {
    View::Axis& heads = view.axes[1];
    std::int64_t shared = 1;
    while (!heads.empty() && heads.back().stride == 0) {
        shared *= heads.back().extent;
        heads.pop_back();
    }
    for (const View::Digit& d : heads)
        if (d.stride == 0) return std::nullopt;
    return shared;
}

/// Keys hidden by row: causal, a window, or none; nothing if the mask is of another form.
struct Form {
    bool causal = false;
    std::int64_t window = 0;
};

std::optional<Form> form_of(const std::vector<char>& hidden, std::int64_t seq, std::int64_t seq_kv) {
    if (std::none_of(hidden.begin(), hidden.end(), [](char h) { return h != 0; })) return Form{};
    const auto is = [&](std::int64_t window) {
        for (std::int64_t i = 0; i < seq; ++i)
            for (std::int64_t j = 0; j < seq_kv; ++j) {
                const std::int64_t own = i + seq_kv - seq;  // the place of query i among the keys
                const bool sees = j <= own && (window == 0 || j > own - window);
                if (sees == (hidden[static_cast<std::size_t>(i * seq_kv + j)] != 0)) return false;
            }
        return true;
    };
    if (is(0)) return Form{true, 0};
    const auto last = hidden.end() - seq_kv;
    const std::int64_t window = std::count(last, hidden.end(), 0);  // what the last query sees
    if (window > 0 && is(window)) return Form{true, window};
    return std::nullopt;
}

}  // namespace

bool Translator::scores(const Node& node, const View& q, const View& k) {
    const auto qh = by_heads(q, batch_), kh = by_heads(k, batch_);
    if (!qh || !kh) return false;
    Scores s{*qh, *kh, q.scale * k.scale, false, {}, qh->shape()[2], kh->shape()[3]};
    s.q.scale = s.k.scale = 1;
    return set(node, s), true;
}

/// Takes up a mask that is added (hidden: very negative) or that selects (hidden: where it is `where_true`).
bool Translator::hide(Scores& s, const Array& mask, bool selects) const {
    const std::size_t rank = mask.shape.size();
    const std::int64_t rows = rank >= 2 ? mask.shape[rank - 2] : 1, columns = rank >= 1 ? mask.shape[rank - 1] : 1;
    if ((rows != 1 && rows != s.seq) || (columns != 1 && columns != s.seq_kv)) return false;
    if (s.hidden.empty()) s.hidden.assign(static_cast<std::size_t>(s.seq * s.seq_kv), 0);
    for (std::int64_t i = 0; i < s.seq; ++i)
        for (std::int64_t j = 0; j < s.seq_kv; ++j) {
            const double m = mask.v[static_cast<std::size_t>((rows == 1 ? 0 : i) * columns + (columns == 1 ? 0 : j))];
            if (!selects && m != 0 && m > -1000) return false;  // a bias that moves scores, not a mask
            if (selects ? m != 0 : m != 0) s.hidden[static_cast<std::size_t>(i * s.seq_kv + j)] = 1;
        }
    return true;
}

bool Translator::mask(const Node& node) {
    if (node.op == "IsNaN") return as<Scores>(node, 0) ? (set(node, Mending{}), true) : false;
    if (node.op == "Max") {  // a floor for scores: of very negative numbers only
        const Scores* s = as<Scores>(node, 0);
        const auto floor = number(node, 1);
        if (!s || !floor || *floor > -1000) return false;
        return set(node, *s), true;
    }
    if (as<Mending>(node, 0))
        for (const std::size_t i : {1U, 2U})
            if (const Scores* s = as<Scores>(node, i)) return set(node, *s), true;
    const Array* condition = g_.known(node, 0);
    for (const std::size_t i : {1U, 2U}) {
        const Scores* s = as<Scores>(node, i);
        const auto other = number(node, 3 - i);
        if (!s || !condition || s->normalised || !other || *other > -1000) continue;
        Array hidden = *condition;
        if (i == 1)
            for (double& x : hidden.v) x = x == 0;
        Scores masked = *s;
        if (!hide(masked, hidden, true)) return false;
        return set(node, masked), true;
    }
    return false;
}

bool Translator::attend(const Node& node, const Scores& s, const View& values) {
    auto v = by_heads(values, batch_);
    View q = s.q, k = s.k;
    if (!s.normalised || !v || v->scale != 1) return false;
    k = k.transposed({0, 1, 3, 2});
    const auto shared_k = take_shared(k), shared_v = take_shared(*v);
    if (!shared_k || !shared_v || *shared_k != *shared_v) return false;
    const std::vector<std::int64_t> rows{0, 2, 1, 3};
    const auto tq = tensor_of(q.transposed(rows)), tk = tensor_of(k.transposed(rows)),
               tv = tensor_of(v->transposed(rows));
    const auto form = s.hidden.empty() ? std::optional<Form>(Form{}) : form_of(s.hidden, s.seq, s.seq_kv);
    if (!tq || !tk || !tv || !form) return false;
    Attributes a = sequence();
    a.seq = s.seq;
    a.seq_kv = s.seq_kv;
    a.heads = q.shape()[1];
    a.kv_heads = k.shape()[1];
    a.head_dim = q.shape()[3];
    a.v_head_dim = v->shape()[3];
    a.causal = form->causal || (s.seq == 1 && s.seq_kv > 1 && form->window == 0 && sizes_.past > 0);
    a.window = form->window;
    a.scale = s.scale;
    if (a.kv_heads * *shared_k != a.heads) return false;
    const int y = emit(OpKind::attention, node, {*tq, *tk, *tv}, {a.batch * a.seq, a.heads * a.v_head_dim}, a);
    const View out = View::dense(y, {a.batch, a.seq, a.heads, a.v_head_dim}).transposed(rows);
    const auto seen = out.reshaped(value(node.out[0]).shape);
    return move_to(node, seen);
}

}  // namespace wb::onnx_import
