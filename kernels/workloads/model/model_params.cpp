#include "kernels/workloads/model/model_params.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/dtype_param.hpp"
#include "core/error.hpp"
#include "core/units.hpp"
#include "kernels/workloads/weights/model_weights.hpp"

namespace wb {

std::vector<ParamSpec> model_params(const char* about_seq) {
    return {{"model",
             "a folder of configs/models, the path of a Hugging Face folder, or a shape: "
             "{hidden=4096,layers=32,heads=32,ffn=11008,vocab=32000,gated=1}",
             {}},
            {"batch", "sequences", std::int64_t{1}},
            {"seq", about_seq, {}},
            {"layers", "build only that many layers (0 = all)", std::int64_t{0}},
            {"shrunk", "a few features wide: what verification uses", false},
            dtype_param()};
}

ParamSpec data_param() {
    return {"data", "a text or dataset: a file, builtin, or nothing for hashed tokens", std::string(), {}, true};
}

ModelConfig model_of(const Params& p, const Files& files) {
    ModelConfig m = load_model(p.word("model"), files);
    if (const std::int64_t n = p.integer("layers"); n != 0) {
        if (n < 0 || n > m.layers)
            throw Error({"layers", fmt::format("{} of a model of {}", n, m.layers),
                         "a part cannot be more than the whole", ""});
        m.layers = n;
        m.dense_layers = std::min(m.dense_layers, n - 1);
    }
    return p.flag("shrunk") ? m.shrunk() : m;
}

namespace {

std::string attention_of(const ModelConfig& m) {
    std::string out = m.latent()
                          ? fmt::format("{} heads over a latent of {} (queries: {})", m.heads, m.kv_rank, m.q_rank)
                      : m.kv_heads == m.heads
                          ? fmt::format("{} heads of {}", m.heads, m.head_dim)
                          : fmt::format("{} heads of {} over {} key-value heads", m.heads, m.head_dim, m.kv_heads);
    out += m.causal ? ", causal" : ", both ways";
    if (m.qkv_bias) out += ", biases";
    if (m.head_norms) out += ", normalised heads";
    for (const std::int64_t w : m.windows)
        if (w > 0) out += fmt::format(", window of {}{}", w, m.windows.size() > 1 ? " in some layers" : "");
    return out;
}

std::string positions_of(const ModelConfig& m) {
    if (m.learned_positions) return fmt::format("{}, learned", m.positions - m.first_position);
    return fmt::format("rotary, {} features of a head, base {}{}", m.latent() ? m.rope_dim : m.rotary_dim, m.rope_theta,
                       m.rope_interleaved ? ", neighbours in pairs" : "");
}

std::string mlp_of(const ModelConfig& m) {
    const std::string act = m.gated || m.experts > 0 ? "gated with SiLU" : m.gelu_tanh ? "GELU (tanh)" : "GELU (erf)";
    if (m.experts == 0) return fmt::format("{} wide, {}", m.ffn, act);
    return fmt::format("{} of {} experts of {}{}{}, {}", m.topk, m.experts, m.expert_ffn,
                       m.shared_experts > 0 ? fmt::format(" and {} shared", m.shared_experts) : "",
                       m.dense_layers > 0 ? fmt::format(", {} dense layers of {}", m.dense_layers, m.ffn) : "", act);
}

}  // namespace

Findings model_findings(const Params& p, const Files& files) {
    const ModelConfig m = model_of(p, files);
    Findings out{{"architecture", m.type},
                 {"layers", fmt::format("{} of {} features", m.layers, m.hidden)},
                 {"attention", attention_of(m)},
                 {"MLP", mlp_of(m)},
                 {"positions", positions_of(m)},
                 {"vocabulary", fmt::format("{}{}", m.vocab, m.tied ? ", one table for both ends" : "")}};
    Graph g("forward");
    build_transformer(g, m, Pass::forward, {1, 1, DType::f32});
    out.emplace_back("parameters", fmt::format("{}", g.parameters()));
    out.emplace_back("work for a token", format(g.flops()));
    if (!m.weights) {
        out.emplace_back("weights", "hashed: no safetensors beside config.json");
    } else {
        const Safetensors& s = m.weights->files();
        out.emplace_back("weights", fmt::format("{} tensors, {}, in {} safetensors file{}", s.tensors().size(),
                                                format(Bytes(static_cast<double>(s.bytes()))), s.files().size(),
                                                s.files().size() == 1 ? "" : "s"));
        for (const std::string& name : m.weights->unused()) out.emplace_back("not read", name);
    }
    for (const std::string& note : m.notes) out.emplace_back("not done", note + ": costs are the same, values differ");
    return out;
}

Sequence sequence_of(const Params& p) { return {p.positive("batch"), p.positive("seq"), dtype_of(p)}; }

Params shrunk(const Params& p) {
    Params small = p;
    small.set("shrunk", true);
    small.set("batch", std::min<std::int64_t>(p.integer("batch"), 2));
    small.set("seq", std::min<std::int64_t>(p.integer("seq"), 19));
    return small;
}

}  // namespace wb
