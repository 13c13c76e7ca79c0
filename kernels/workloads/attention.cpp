#include "core/backward.hpp"
#include "core/dtype_param.hpp"
#include "core/workload.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"

namespace wb::workloads {
namespace {

Attributes attributes(const Params& p) {
    Attributes a;
    a.batch = p.positive("batch");
    a.heads = p.positive("heads");
    a.kv_heads = p.integer("kv_heads") == 0 ? a.heads : p.positive("kv_heads");
    a.seq = p.positive("seq_q");
    a.seq_kv = p.integer("seq_kv") == 0 ? a.seq : p.positive("seq_kv");
    a.head_dim = a.v_head_dim = p.positive("head_dim");
    a.causal = p.flag("causal");
    a.window = p.integer("window");
    a.scale = 1.0 / std::sqrt(static_cast<double>(a.head_dim));
    if (a.causal && a.seq > a.seq_kv)
        throw Error({"seq_q", "there are more queries than keys",
                     "the first ones would see nothing under a causal mask", "Use seq_kv >= seq_q."});
    return a;
}

Graph build(const Params& p, const Files&) {
    const Attributes a = attributes(p);
    const DType type = dtype_of(p);
    Graph g("attention");
    g.phase("forward");
    const TensorId q = g.input("q", {a.batch * a.seq, a.heads * a.head_dim}, type);
    const TensorId k = g.input("k", {a.batch * a.seq_kv, a.kv_heads * a.head_dim}, type);
    const TensorId v = g.input("v", {a.batch * a.seq_kv, a.kv_heads * a.head_dim}, type);
    const TensorId o = g.apply(OpKind::attention, "o", {q, k, v}, a).front();
    g.mark_output(o);
    if (p.word("pass") == "forward") return g;
    const TensorId d_o = g.input("d_o", {a.batch * a.seq, a.heads * a.head_dim}, type);
    for (const Gradient& x : derive_backward(g, {{o, d_o}}, {q, k, v})) g.mark_output(x.gradient);
    return g;
}

Params verify_size(const Params& p) {
    Params small = p;
    const std::int64_t kv = p.integer("seq_kv") == 0 ? p.integer("seq_q") : p.integer("seq_kv");
    const std::int64_t q = std::min<std::int64_t>(p.integer("seq_q"), 150 + p.integer("seq_q") % 7);
    small.set("batch", std::min<std::int64_t>(p.integer("batch"), 2));
    small.set("seq_q", q);
    small.set("seq_kv", std::max(q, std::min<std::int64_t>(kv, 200 + kv % 7)));
    if (p.integer("heads") > 8) {
        const std::int64_t kv_heads = p.integer("kv_heads") == 0 ? p.integer("heads") : p.integer("kv_heads");
        const std::int64_t group = std::min<std::int64_t>(4, p.integer("heads") / std::max<std::int64_t>(1, kv_heads));
        small.set("heads", std::int64_t{8});
        small.set("kv_heads", std::int64_t{8} / (group == 3 ? 2 : std::max<std::int64_t>(1, group)));
    }
    return small;
}

}  // namespace

Workload attention() {
    return {"attention",
            "O = softmax(Q K^T / sqrt(head_dim)) V",
            {{"batch", "sequences", std::int64_t{1}},
             {"heads", "query heads", {}},
             {"kv_heads", "key-value heads (0 = heads)", std::int64_t{0}},
             {"seq_q", "queries of a sequence", {}},
             {"seq_kv", "keys of a sequence (0 = seq_q)", std::int64_t{0}},
             {"head_dim", "features of a head", std::int64_t{64}},
             {"causal", "query i sees keys up to i + seq_kv - seq_q", false},
             {"window", "sees that many keys at most (0 = all)", std::int64_t{0}},
             {"pass", "forward, or forward and backward", std::string("forward"), {"forward", "forward_backward"}},
             dtype_param()},
            build,
            verify_size};
}

}  // namespace wb::workloads
