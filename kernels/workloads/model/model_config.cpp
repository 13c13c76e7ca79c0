#include "kernels/workloads/model/model_config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/suggest.hpp"
#include "kernels/workloads/model/inline_model.hpp"

namespace wb {
namespace {

using nlohmann::json;

/// Typed access to one config.json, with errors that name file and key.
class Keys {
public:
    Keys(json object, std::string file) : object_(std::move(object)), file_(std::move(file)) {}

    bool has(const char* key) const { return object_.contains(key) && !object_.at(key).is_null(); }
    std::int64_t integer(const char* key) const {
        if (!has(key)) fail(key, "is missing", "the architecture is not known without it");
        if (!object_.at(key).is_number_integer() || object_.at(key).get<std::int64_t>() < 0)
            fail(key, fmt::format("is {}", object_.at(key).dump()), "it must be a whole number");
        return object_.at(key).get<std::int64_t>();
    }
    std::int64_t integer_or(const char* key, std::int64_t fallback) const { return has(key) ? integer(key) : fallback; }
    double number_or(const char* key, double fallback) const {
        if (!has(key)) return fallback;
        if (!object_.at(key).is_number())
            fail(key, fmt::format("is {}", object_.at(key).dump()), "it must be a number");
        return object_.at(key).get<double>();
    }
    bool flag_or(const char* key, bool fallback) const {
        return has(key) && object_.at(key).is_boolean() ? object_.at(key).get<bool>() : fallback;
    }
    std::string word_or(const char* key, const std::string& fallback) const {
        return has(key) && object_.at(key).is_string() ? object_.at(key).get<std::string>() : fallback;
    }
    const json& at(const char* key) const { return object_.at(key); }
    [[noreturn]] void fail(const char* key, std::string problem, std::string why) const {
        throw Error({file_, fmt::format("\"{}\" {}", key, problem), std::move(why), ""});
    }

private:
    json object_;
    std::string file_;
};

bool tanh_form(const std::string& activation) { return activation == "gelu_new" || activation == "gelu_pytorch_tanh"; }

void read_gpt2(const Keys& k, ModelConfig& m) {
    m.hidden = k.integer("n_embd");
    m.layers = k.integer("n_layer");
    m.heads = m.kv_heads = k.integer("n_head");
    m.positions = k.integer("n_positions");
    m.ffn = k.integer_or("n_inner", 4 * m.hidden);
    m.eps = k.number_or("layer_norm_epsilon", 1e-5);
    m.gelu_tanh = tanh_form(k.word_or("activation_function", "gelu_new"));
    m.tied = k.flag_or("tie_word_embeddings", true);
    m.learned_positions = m.qkv_bias = m.out_bias = m.mlp_bias = true;
}

void read_gptj(const Keys& k, ModelConfig& m) {
    read_gpt2(k, m);
    m.tied = k.flag_or("tie_word_embeddings", false);
    m.learned_positions = m.qkv_bias = m.out_bias = false;
    m.parallel_residual = m.rope_interleaved = m.head_bias = true;
    m.rotary_dim = k.integer("rotary_dim");
}

void read_bert(const Keys& k, ModelConfig& m) {
    m.hidden = k.integer("hidden_size");
    m.layers = k.integer("num_hidden_layers");
    m.heads = m.kv_heads = k.integer("num_attention_heads");
    m.positions = k.integer("max_position_embeddings");
    m.ffn = k.integer("intermediate_size");
    m.eps = k.number_or("layer_norm_eps", 1e-12);
    m.gelu_tanh = tanh_form(k.word_or("hidden_act", "gelu"));
    m.token_types = k.integer("type_vocab_size");
    m.learned_positions = m.qkv_bias = m.out_bias = m.mlp_bias = m.head_bias = m.post_norm = true;
    m.causal = false;
}

void read_llama(const Keys& k, ModelConfig& m) {  // and all that grew from it
    m.hidden = k.integer("hidden_size");
    m.layers = k.integer("num_hidden_layers");
    m.heads = k.integer("num_attention_heads");
    m.kv_heads = k.integer_or("num_key_value_heads", m.heads);
    m.positions = k.integer("max_position_embeddings");
    m.ffn = k.integer("intermediate_size");
    m.eps = k.number_or("rms_norm_eps", 1e-6);
    m.head_dim = k.integer_or("head_dim", 0);
    m.rope_theta = k.number_or("rope_theta", 10000);
    m.tied = k.flag_or("tie_word_embeddings", false);
    m.rmsnorm = m.gated = true;
    m.qkv_bias = k.flag_or("attention_bias", false);
    m.mlp_bias = k.flag_or("mlp_bias", false);
}

void read_experts(const Keys& k, ModelConfig& m) {
    m.experts = k.has("num_local_experts") ? k.integer("num_local_experts") : k.integer("n_routed_experts");
    m.topk = k.integer("num_experts_per_tok");
    m.expert_ffn = k.integer_or("moe_intermediate_size", m.ffn);
}

void read_gpt_oss(const Keys& k, ModelConfig& m) {
    read_llama(k, m);
    read_experts(k, m);
    m.out_bias = m.qkv_bias;
    m.router_bias = true;
    const std::int64_t window = k.integer("sliding_window");
    if (!k.has("layer_types")) k.fail("layer_types", "is missing", "layers alternate between two kinds of attention");
    const json& types = k.at("layer_types");
    const auto period = [&](std::size_t p) {
        for (std::size_t i = p; i < types.size(); ++i)
            if (types[i] != types[i - p]) return false;
        return types.size() % p == 0;
    };
    std::size_t p = 1;
    while (!period(p)) ++p;
    m.windows.clear();
    for (std::size_t i = 0; i < p; ++i) m.windows.push_back(types[i] == "sliding_attention" ? window : 0);
}

void read_deepseek(const Keys& k, ModelConfig& m) {
    read_llama(k, m);
    read_experts(k, m);
    m.shared_experts = k.integer_or("n_shared_experts", 0);
    m.dense_layers = k.integer_or("first_k_dense_replace", 0);
    m.sigmoid_gate = k.word_or("scoring_func", "softmax") == "sigmoid";
    m.gate_scale = k.number_or("routed_scaling_factor", 1);
    m.q_rank = k.integer("q_lora_rank");
    m.kv_rank = k.integer("kv_lora_rank");
    m.nope_dim = k.integer("qk_nope_head_dim");
    m.rope_dim = k.integer("qk_rope_head_dim");
    m.v_head_dim = k.integer("v_head_dim");
    m.head_dim = m.nope_dim + m.rope_dim;
}

struct Reader {
    const char* type;
    void (*read)(const Keys&, ModelConfig&);
};
constexpr Reader readers[] = {
    {"gpt2", read_gpt2},
    {"gptj", read_gptj},
    {"bert", read_bert},
    {"llama", read_llama},
    {"mistral", read_llama},
    {"qwen2",
     [](const Keys& k, ModelConfig& m) {
         read_llama(k, m);
         m.qkv_bias = k.flag_or("attention_bias", true);
     }},
    {"mixtral",
     [](const Keys& k, ModelConfig& m) {
         read_llama(k, m);
         read_experts(k, m);
     }},
    {"gpt_oss", read_gpt_oss},
    {"deepseek_v3", read_deepseek},
};

}  // namespace

ModelConfig load_model(const std::string& name, const Files& files) {
    if (is_inline_model(name)) return inline_model(name);
    const std::string path = files.find("models/" + name + "/config.json");
    if (path.empty())
        throw Error({"model", fmt::format("there is no model \"{}\"", name), "its shape is not known",
                     did_you_mean(name, files.names("models", ""))});
    std::ifstream in(path);
    const json parsed = json::parse(in, nullptr, false);
    if (parsed.is_discarded() || !parsed.is_object())
        throw Error({path, "is not a JSON object", "a model is described as Hugging Face does", ""});
    const Keys keys(parsed, path);
    ModelConfig m;
    m.type = keys.word_or("model_type", "");
    m.windows = {0};
    const Reader* reader = nullptr;
    std::vector<std::string> known;
    for (const Reader& r : readers) {
        known.emplace_back(r.type);
        if (m.type == r.type) reader = &r;
    }
    if (!reader)
        throw Error({path, fmt::format("model_type \"{}\" is not known", m.type), "its layers cannot be built",
                     did_you_mean(m.type, known)});
    reader->read(keys, m);
    m.vocab = keys.integer("vocab_size");
    if (m.head_dim == 0) m.head_dim = m.hidden / m.heads;
    if (m.v_head_dim == 0) m.v_head_dim = m.head_dim;
    if (m.rotary_dim == 0 && !m.learned_positions && !m.latent()) m.rotary_dim = m.head_dim;
    return m;
}

ModelConfig ModelConfig::shrunk() const {
    ModelConfig m = *this;
    const std::int64_t group = std::min<std::int64_t>(2, heads / kv_heads);
    m.heads = std::min<std::int64_t>(heads, 8);
    m.kv_heads = std::max<std::int64_t>(1, m.heads / group);
    m.hidden = 48;
    m.ffn = gated ? 88 : 4 * 48;
    m.vocab = std::min<std::int64_t>(vocab, 211);  // odd, so that shards differ
    m.positions = std::min<std::int64_t>(positions, 64);
    const std::int64_t dim = 12;
    m.head_dim = m.v_head_dim = dim;
    if (rotary_dim > 0) m.rotary_dim = rotary_dim == head_dim ? dim : 8;
    if (latent()) {
        m.q_rank = std::min<std::int64_t>(q_rank, 24);
        m.kv_rank = 16;
        m.nope_dim = 8;
        m.rope_dim = 4;
        m.head_dim = 12;
        m.v_head_dim = 10;
    }
    for (std::int64_t& w : m.windows) w = std::min<std::int64_t>(w, 5);
    if (experts > 0) {
        m.experts = std::min<std::int64_t>(experts, 6);
        m.topk = std::min<std::int64_t>(topk, 2);
        m.expert_ffn = 40;
        m.dense_layers = std::min<std::int64_t>(dense_layers, 1);
    }
    const auto pattern = static_cast<std::int64_t>(windows.size());
    m.layers = std::min(layers, std::max<std::int64_t>(2 * pattern, m.dense_layers + 2));
    return m;
}

}  // namespace wb
