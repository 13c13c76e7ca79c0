#include <fmt/format.h>

#include <map>

#include "harness/validate/case_maker.hpp"

namespace wb {
namespace {

Question one(Case c) {
    Question q;
    q.terms.push_back({std::move(c), 1});
    return q;
}

double flops_of(const Question& q) { return q.terms.front().c.graph->flops().si(); }

Question ask_gemm(const Point& p, CaseMaker& make) {
    // Rows that state transposition count as BLAS does, by columns; a workload's matrices lie by rows.
    const bool by_columns = p.has("trans_a") || p.has("trans_b");
    const ParamList params{{"m", p.integer("m")},
                           {"n", p.integer("n")},
                           {"k", p.integer("k")},
                           {"batch", p.integer_or("groups", 1)},
                           {"trans_a", p.flag("trans_a") != by_columns},
                           {"trans_b", p.flag("trans_b") != by_columns},
                           {"dtype", make.dtype(p)}};
    const Setting setting = make.setting(p);
    Question q = one(make.make("gemm", params, setting));
    if (setting.mapping.tensor > 1) {
        q.terms.push_back(gathered(q.terms.front().c, setting, make));
        if (p.has("call_start")) q.start_s = p.number("call_start");
    }
    set_metric(q, p, {.flops = flops_of(q), .bytes = q.terms.front().c.graph->compulsory_bytes().si()});
    return q;
}

Question ask_attention(const Point& p, CaseMaker& make) {
    const std::string asked = p.word_or("pass", "fwd");
    const auto pass = [&](const char* name) {
        const ParamList params{{"batch", p.integer_or("batch", 1)},
                               {"heads", p.integer("heads")},
                               {"kv_heads", p.integer_or("kv_heads", 0)},
                               {"seq_q", p.integer("seq_q")},
                               {"seq_kv", p.integer_or("seq_kv", 0)},
                               {"head_dim", p.integer("head_dim")},
                               {"causal", p.flag("causal")},
                               {"pass", std::string(name)},
                               {"dtype", make.dtype(p)}};
        return make.make("attention", params, make.setting(p));
    };
    Question q = one(pass(asked == "fwd" ? "forward" : "forward_backward"));
    if (asked == "bwd") q.terms.push_back({pass("forward"), -1});  // what the backward pass adds to the forward one
    double flops = 0, bytes = 0;
    for (const Term& t : q.terms) {
        flops += t.weight * t.c.graph->flops().si();
        bytes += t.weight * t.c.graph->compulsory_bytes().si();
    }
    set_metric(q, p, {.flops = flops, .bytes = bytes});
    return q;
}

Question ask_vector(const Point& p, CaseMaker& make) {
    const std::int64_t columns = p.integer("cols");
    // rope turns pairs within a head; rows give the columns of all heads together.
    const std::int64_t head = p.integer_or("head_dim", columns % 128 == 0 ? 128 : 64);
    const ParamList params{{"op", p.word("op")},
                           {"rows", p.integer("rows")},
                           {"cols", columns},
                           {"heads", p.word("op") == "rope" ? std::max<std::int64_t>(1, columns / head) : 1},
                           {"dtype", make.dtype(p)}};
    Question q = one(make.make("vector", params, make.setting(p)));
    set_metric(q, p, {.flops = flops_of(q), .bytes = q.terms.front().c.graph->compulsory_bytes().si()});
    return q;
}

Question ask_collective(const Point& p, CaseMaker& make) {
    const double bytes = p.number("bytes"), n = p.number("gpus");
    std::string type = p.has("dtype") ? make.dtype(p) : "int8";
    if (!p.has("dtype"))
        for (const auto& [name, size] : {std::pair{"f16", 2}, {"f32", 4}})
            if (p.integer("bytes") % size == 0) type = name;
    const ParamList params{{"op", p.word("op")}, {"bytes", fmt::format("{} B", p.integer("bytes"))}, {"dtype", type}};
    Question q = one(make.make("collective", params, make.setting(p)));
    const std::string& op = p.word("op");
    const double factor = op == "allreduce"                        ? 2 * (n - 1) / n
                          : op == "send_recv" || op == "broadcast" ? 1
                                                                   : (n - 1) / n;
    set_metric(q, p, {.bytes = bytes, .bus_bytes = bytes * factor});
    return q;
}

}  // namespace

Term gathered(const Case& product, const Setting& setting, CaseMaker& make) {
    const Graph& graph = *product.graph;
    const Bytes output = graph.bytes(graph.ops().front().out.front());
    return {make.make("collective",
                      {{"op", std::string("allgather")},
                       {"bytes", fmt::format("{:.0f} B", output.si())},
                       {"dtype", product.params.word("dtype")}},
                      setting),
            1};
}

Question ask_operator(const Point& p, CaseMaker& make) {
    if (p.workload == "gemm") return ask_gemm(p, make);
    if (p.workload == "attention") return ask_attention(p, make);
    return p.workload == "vector" ? ask_vector(p, make) : ask_collective(p, make);
}

namespace {

/// The operators of one layer under tensor parallelism, with the shapes of one of `tp` devices.
struct LayerShape {
    std::int64_t batch, queries, context, hidden, heads, head_dim, ffn, tp;
    std::string type;

    ParamList gemm(std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t count = 1) const {
        return {{"m", m}, {"n", n}, {"k", k}, {"batch", count}, {"dtype", type}};
    }
    ParamList vector(const char* op, std::int64_t rows, std::int64_t cols) const {
        return {{"op", std::string(op)}, {"rows", rows}, {"cols", cols}, {"dtype", type}};
    }
    std::map<std::string, std::pair<std::string, ParamList>> operators() const {
        const std::int64_t tokens = batch * queries, pairs = batch * heads / tp;
        const ParamList sum{
            {"op", std::string("allreduce")}, {"bytes", fmt::format("{} B", tokens * hidden * 2)}, {"dtype", type}};
        return {{"qkv_proj", {"gemm", gemm(tokens, hidden / tp, hidden)}},
                {"q_mul_k", {"gemm", gemm(queries, context, head_dim, pairs)}},
                {"a_mul_v", {"gemm", gemm(queries, head_dim, context, pairs)}},
                {"wo_proj", {"gemm", gemm(tokens, hidden, hidden / tp)}},
                {"w1_proj", {"gemm", gemm(tokens, ffn / tp, hidden)}},
                {"w2_proj", {"gemm", gemm(tokens, hidden, ffn / tp)}},
                {"softmax", {"vector", vector("softmax", pairs * queries, context)}},
                {"layernorm_mha", {"vector", vector("layernorm", tokens, hidden)}},
                {"layernorm_ffn", {"vector", vector("layernorm", tokens, hidden)}},
                {"gelu", {"vector", vector("gelu", tokens, ffn / tp)}},
                {"allreduce_mha", {"collective", sum}},
                {"allreduce_ffn", {"collective", sum}}};
    }
};

}  // namespace

Question ask_layer(const Point& p, CaseMaker& make) {
    const bool decode = p.word("phase") == "decode";
    const std::int64_t in = p.integer("seq_in"), heads = p.integer("heads"), hidden = p.integer("hidden");
    const LayerShape shape{p.integer("batch"),
                           decode ? 1 : in,
                           decode ? in + p.integer_or("seq_out", 0) : in,
                           hidden,
                           heads,
                           p.integer_or("head_dim", hidden / heads),
                           p.integer("ffn"),
                           p.integer_or("tp", 1),
                           make.dtype(p)};
    Setting alone = make.setting(p);
    const Setting together = alone;
    alone.units = 1;
    alone.mapping = {};
    Question q;
    const std::string& asked = p.word("op");
    for (const auto& [name, op] : shape.operators())
        if (asked == "layer_total" || asked == name)
            q.terms.push_back({make.make(op.first, op.second, op.first == "collective" ? together : alone),
                               name == "qkv_proj" ? 3.0 : 1.0});  // queries, keys, values (LLMCompass): a call each
    if (q.terms.empty()) throw Unanswerable(fmt::format("no workload for the layer's operator \"{}\" yet", asked));
    set_metric(q, p, {});
    return q;
}

}  // namespace wb
