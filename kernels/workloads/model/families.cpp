#include "kernels/workloads/model/families.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace wb {
namespace {

/// "gelu_new" and its kin are the tanh form, "gelu" the one with erf.
void read_gelu(const ConfigKeys& k, ModelConfig& m, ConfigKeys::Names names, const char* fallback) {
    static const std::vector<std::string> tanh_forms{"gelu_new", "gelu_pytorch_tanh", "gelu_fast"};
    static const std::vector<std::string> erf_forms{"gelu", "gelu_python"};
    const std::string word = k.word_or(names, fallback);
    const auto in = [&](const std::vector<std::string>& list) {
        return std::find(list.begin(), list.end(), word) != list.end();
    };
    m.gelu_tanh = in(tanh_forms);
    if (!m.gelu_tanh && !in(erf_forms))
        k.fail(*names.begin(), fmt::format("is \"{}\"", word), "no operator here computes it",
               "Known: gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, gelu_python.");
}

void require_silu(const ConfigKeys& k) {
    const std::string word = k.word_or({"hidden_act", "hidden_activation"}, "silu");
    if (word != "silu" && word != "swish")
        k.fail("hidden_act", fmt::format("is \"{}\"", word), "gated layers are computed with SiLU",
               "Known: silu, swish.");
}

void read_sizes(const ConfigKeys& k, ModelConfig& m) {
    m.hidden = k.size({"hidden_size", "n_embd", "d_model"});
    m.layers = k.size({"num_hidden_layers", "n_layer", "n_layers"});
    m.heads = m.kv_heads = k.size({"num_attention_heads", "n_head", "n_heads"});
    m.positions = k.count_or({"max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"}, 0);
}

void read_gpt2(const ConfigKeys& k, ModelConfig& m) {
    m.hidden = k.size({"n_embd", "hidden_size"});
    m.layers = k.size({"n_layer", "num_hidden_layers"});
    m.heads = m.kv_heads = k.size({"n_head", "num_attention_heads"});
    m.positions = k.size({"n_positions", "n_ctx", "max_position_embeddings"});
    m.ffn = k.size_or({"n_inner", "intermediate_size"}, 4 * m.hidden);
    m.eps = k.number_or({"layer_norm_epsilon"}, 1e-5);
    read_gelu(k, m, {"activation_function"}, "gelu_new");
    m.tied = k.flag_or("tie_word_embeddings", true);
    m.learned_positions = m.qkv_bias = m.out_bias = m.mlp_bias = true;
    if (k.flag_or("scale_attn_by_inverse_layer_idx", false)) m.notes.emplace_back("scale_attn_by_inverse_layer_idx");
}

void read_gptj(const ConfigKeys& k, ModelConfig& m) {
    read_gpt2(k, m);
    m.tied = k.flag_or("tie_word_embeddings", false);
    m.learned_positions = m.qkv_bias = m.out_bias = false;
    m.parallel_residual = m.rope_interleaved = m.head_bias = true;
    m.rotary_dim = k.size({"rotary_dim"});
}

void note_rope_scaling(const ConfigKeys& k, ModelConfig& m) {
    if (!m.notes.empty()) return;  // called again by a reader that builds on another
    for (const char* table : {"rope_scaling", "rope_parameters"})
        for (const char* key : {"rope_type", "type"})
            if (const std::string type = k.inside(table, key); !type.empty() && type != "default") {
                m.notes.push_back(fmt::format("{} of type {}", table, type));
                return;
            }
}

void read_rope(const ConfigKeys& k, ModelConfig& m) {
    const std::string nested = k.inside("rope_parameters", "rope_theta");
    m.rope_theta = nested.empty() ? k.number_or({"rope_theta", "rotary_emb_base"}, 10000) : std::stod(nested);
    note_rope_scaling(k, m);
}

/// A part of each head turns; always an even number of features.
void read_partial_rope(const ConfigKeys& k, ModelConfig& m, ConfigKeys::Names names, double fallback) {
    read_rope(k, m);
    const double share = k.number_or(names, fallback);
    m.rotary_dim = static_cast<std::int64_t>(static_cast<double>(m.hidden / m.heads) * share) / 2 * 2;
    if (m.rotary_dim < 2) k.fail(*names.begin(), fmt::format("is {}", share), "no feature of a head would turn");
}

void read_neox(const ConfigKeys& k, ModelConfig& m) {
    read_sizes(k, m);
    m.ffn = k.size({"intermediate_size"});
    m.eps = k.number_or({"layer_norm_eps"}, 1e-5);
    read_gelu(k, m, {"hidden_act"}, "gelu");
    read_partial_rope(k, m, {"rotary_pct", "partial_rotary_factor"}, 0.25);
    m.tied = k.flag_or("tie_word_embeddings", false);
    m.parallel_residual = m.parallel_norms = k.flag_or("use_parallel_residual", true);
    m.qkv_bias = m.out_bias = k.flag_or("attention_bias", true);
    m.mlp_bias = true;
}

void read_falcon(const ConfigKeys& k, ModelConfig& m) {
    if (k.flag_or("alibi", false)) k.fail("alibi", "is true", "no operator here adds ALiBi's slopes to the scores");
    read_sizes(k, m);
    const bool grouped = k.flag_or("new_decoder_architecture", false);
    if (grouped)
        m.kv_heads = k.size_or({"num_kv_heads", "n_head_kv"}, m.heads);
    else if (k.flag_or("multi_query", true))
        m.kv_heads = 1;
    m.ffn = k.size_or({"ffn_hidden_size"}, 4 * m.hidden);
    m.eps = k.number_or({"layer_norm_epsilon"}, 1e-5);
    read_gelu(k, m, {"activation"}, "gelu");
    read_rope(k, m);
    m.parallel_residual = grouped || k.flag_or("parallel_attn", true);
    m.parallel_norms = grouped && k.count_or({"num_ln_in_parallel_attn"}, 2) == 2;
    m.qkv_bias = m.out_bias = m.mlp_bias = k.flag_or("bias", false);
    m.tied = k.flag_or("tie_word_embeddings", true);
}

void read_phi(const ConfigKeys& k, ModelConfig& m) {
    read_sizes(k, m);
    m.kv_heads = k.size_or({"num_key_value_heads"}, m.heads);
    m.ffn = k.size_or({"intermediate_size"}, 4 * m.hidden);
    m.eps = k.number_or({"layer_norm_eps"}, 1e-5);
    read_gelu(k, m, {"hidden_act"}, "gelu_new");
    read_partial_rope(k, m, {"partial_rotary_factor"}, 0.5);
    if (k.flag_or("qk_layernorm", false))
        k.fail("qk_layernorm", "is true", "heads are not normalised with LayerNorm here");
    m.tied = k.flag_or("tie_word_embeddings", false);
    m.parallel_residual = m.qkv_bias = m.out_bias = m.mlp_bias = m.head_bias = true;
}

void read_starcoder2(const ConfigKeys& k, ModelConfig& m) {
    read_sizes(k, m);
    m.kv_heads = k.size_or({"num_key_value_heads"}, m.heads);
    m.ffn = k.size({"intermediate_size"});
    m.eps = k.number_or({"norm_epsilon"}, 1e-5);
    read_gelu(k, m, {"hidden_act"}, "gelu_pytorch_tanh");
    read_rope(k, m);
    m.tied = k.flag_or("tie_word_embeddings", true);
    m.qkv_bias = m.out_bias = m.mlp_bias = k.flag_or("use_bias", true);
    m.windows = {k.count_or({"sliding_window"}, 0)};
}

void read_bert(const ConfigKeys& k, ModelConfig& m) {
    read_sizes(k, m);
    m.positions = k.size({"max_position_embeddings"});
    m.ffn = k.size({"intermediate_size"});
    m.eps = k.number_or({"layer_norm_eps"}, 1e-12);
    read_gelu(k, m, {"hidden_act"}, "gelu");
    if (const std::string kind = k.word_or({"position_embedding_type"}, "absolute"); kind != "absolute")
        k.fail("position_embedding_type", fmt::format("is \"{}\"", kind), "positions are learned and absolute here");
    m.token_types = k.size({"type_vocab_size"});
    m.learned_positions = m.qkv_bias = m.out_bias = m.mlp_bias = m.head_bias = m.post_norm = true;
    m.causal = false;
}

void read_roberta(const ConfigKeys& k, ModelConfig& m) {
    read_bert(k, m);
    m.first_position = k.count_or({"pad_token_id"}, 1) + 1;  // positions are counted from the padding's number on
}

void read_llama(const ConfigKeys& k, ModelConfig& m) {  // and all that grew from it
    read_sizes(k, m);
    m.kv_heads = k.size_or({"num_key_value_heads"}, m.heads);
    m.ffn = k.size({"intermediate_size"});
    m.eps = k.number_or({"rms_norm_eps"}, 1e-6);
    m.head_dim = k.size_or({"head_dim"}, 0);
    read_rope(k, m);
    require_silu(k);
    m.tied = k.flag_or("tie_word_embeddings", false);
    m.rmsnorm = m.gated = true;
    m.qkv_bias = m.out_bias = k.flag_or("attention_bias", false);
    m.mlp_bias = k.flag_or("mlp_bias", false);
}

void read_mistral(const ConfigKeys& k, ModelConfig& m) {
    read_llama(k, m);
    m.windows = {k.count_or({"sliding_window"}, 0)};
}

void read_phi3(const ConfigKeys& k, ModelConfig& m) {
    read_mistral(k, m);
    read_partial_rope(k, m, {"partial_rotary_factor"}, 1);
}

void read_experts(const ConfigKeys& k, ModelConfig& m) {
    m.experts = k.size({"num_local_experts", "n_routed_experts", "num_experts"});
    m.topk = k.size({"num_experts_per_tok", "experts_per_token"});
    m.expert_ffn = k.size_or({"moe_intermediate_size"}, m.ffn);
    if (m.topk > m.experts)
        k.fail("num_experts_per_tok", fmt::format("is {} of {} experts", m.topk, m.experts), "it must be 1 to experts");
}

void read_mixtral(const ConfigKeys& k, ModelConfig& m) {
    read_mistral(k, m);
    read_experts(k, m);
}

void read_qwen2(const ConfigKeys& k, ModelConfig& m) {
    read_llama(k, m);
    m.qkv_bias = k.flag_or("attention_bias", true);
    m.out_bias = false;
    if (k.flag_or("use_sliding_window", false) && k.count_or({"max_window_layers"}, m.layers) < m.layers)
        k.fail("use_sliding_window", "is true", "layers from max_window_layers on differ from those before",
               "Only windows in all layers or in none are built.");
}

void read_qwen3(const ConfigKeys& k, ModelConfig& m) {
    read_qwen2(k, m);
    m.qkv_bias = m.out_bias = k.flag_or("attention_bias", false);
    m.head_norms = true;
}

void read_qwen3_moe(const ConfigKeys& k, ModelConfig& m) {
    read_qwen3(k, m);
    read_experts(k, m);
    if (k.count_or({"decoder_sparse_step"}, 1) != 1)
        k.fail("decoder_sparse_step", "is not 1", "every layer is a mixture of experts here");
    if (!k.flag_or("norm_topk_prob", true)) m.notes.emplace_back("norm_topk_prob = false");
}

/// The fewest layers after which the kinds repeat.
std::size_t period_of(const std::vector<std::string>& types) {
    for (std::size_t p = 1;; ++p) {
        bool repeats = types.size() % p == 0;
        for (std::size_t i = p; i < types.size(); ++i) repeats = repeats && types[i] == types[i - p];
        if (repeats) return p;
    }
}

void read_gpt_oss(const ConfigKeys& k, ModelConfig& m) {
    read_llama(k, m);
    read_experts(k, m);
    m.out_bias = m.qkv_bias;
    m.router_bias = true;
    const std::int64_t window = k.size({"sliding_window"});
    const std::vector<std::string> types = k.words("layer_types");
    if (types.empty()) k.fail("layer_types", "is missing", "layers alternate between two kinds of attention");
    m.windows.clear();
    for (std::size_t i = 0; i < period_of(types); ++i)
        m.windows.push_back(types[i] == "sliding_attention" ? window : 0);
    m.notes.emplace_back("attention sinks, biases of the experts and the clamp of their gates");
}

void read_deepseek(const ConfigKeys& k, ModelConfig& m) {
    read_llama(k, m);
    read_experts(k, m);
    m.shared_experts = k.count_or({"n_shared_experts"}, 0);
    m.dense_layers = k.count_or({"first_k_dense_replace"}, 0);
    m.sigmoid_gate = k.word_or({"scoring_func"}, "softmax") == "sigmoid";
    m.gate_scale = k.number_or({"routed_scaling_factor"}, 1);
    m.q_rank = k.count_or({"q_lora_rank"}, 0);  // null in the smaller models: queries without a latent
    m.kv_rank = k.size({"kv_lora_rank"});
    m.nope_dim = k.size({"qk_nope_head_dim"});
    m.rope_dim = k.size({"qk_rope_head_dim"});
    m.v_head_dim = k.size({"v_head_dim"});
    m.head_dim = m.nope_dim + m.rope_dim;
    if (const std::string method = k.word_or({"topk_method"}, "greedy"); method != "greedy")
        m.notes.push_back(fmt::format("topk_method {}", method));
    if (!k.flag_or("norm_topk_prob", true)) m.notes.emplace_back("norm_topk_prob = false");
}

void read_glm4_moe(const ConfigKeys& k, ModelConfig& m) {
    read_llama(k, m);
    read_experts(k, m);
    const double width = static_cast<double>(m.head_dim > 0 ? m.head_dim : m.hidden / m.heads);
    m.rotary_dim = static_cast<std::int64_t>(width * k.number_or({"partial_rotary_factor"}, 0.5)) / 2 * 2;
    m.out_bias = false;
    m.head_norms = k.flag_or("use_qk_norm", false);
    m.shared_experts = k.count_or({"n_shared_experts"}, 0);
    m.dense_layers = k.count_or({"first_k_dense_replace"}, 0);
    m.sigmoid_gate = true;
    m.gate_scale = k.number_or({"routed_scaling_factor"}, 1);
}

/// Experts in every so many layers; attention to chunks in three layers of four, whose chunks are windows here.
void read_llama4(const ConfigKeys& k, ModelConfig& m) {
    read_llama(k, m);
    read_experts(k, m);
    m.expert_ffn = m.ffn;
    m.ffn = k.size_or({"intermediate_size_mlp"}, m.ffn);
    m.shared_experts = 1;
    m.sigmoid_gate = true;
    m.expert_period = k.size_or({"interleave_moe_layer_step"}, 1);
    const std::int64_t chunk = k.count_or({"attention_chunk_size"}, 0);
    if (m.layers % 4 != 0 || 4 % m.expert_period != 0)
        k.fail("interleave_moe_layer_step", fmt::format("is {}, of {} layers", m.expert_period, m.layers),
               "kinds of layers repeat after four here");
    m.windows = {chunk, chunk, chunk, 0};
    m.notes.emplace_back(
        "chunks of attention (windows of their length here), layers without rotary angles, norms of heads");
}

}  // namespace

const std::vector<Family>& families() {
    static const std::vector<Family> table{
        {"gpt2", read_gpt2},
        {"gptj", read_gptj},
        {"gpt_neox", read_neox},
        {"bert", read_bert},
        {"roberta", read_roberta},
        {"xlm-roberta", read_roberta},
        {"llama", read_llama},
        {"mistral", read_mistral},
        {"mixtral", read_mixtral},
        {"qwen2", read_qwen2},
        {"qwen3", read_qwen3},
        {"qwen3_moe", read_qwen3_moe},
        {"phi", read_phi},
        {"phi3", read_phi3},
        {"starcoder2", read_starcoder2},
        {"falcon", read_falcon},
        {"RefinedWebModel", read_falcon},
        {"gpt_oss", read_gpt_oss},
        {"deepseek_v2", read_deepseek},
        {"deepseek_v3", read_deepseek},
        {"kimi_k2", read_deepseek},
        {"glm4_moe", read_glm4_moe},
        {"llama4_text", read_llama4},
    };
    return table;
}

const std::vector<ForeignFamily>& foreign_families() {
    static const std::vector<ForeignFamily> table{
        {"opt", "ReLU"},
        {"bloom", "ALiBi"},
        {"mpt", "ALiBi"},
        {"gemma", "an MLP gated with GELU"},
        {"gemma2", "an MLP gated with GELU, and capped scores"},
        {"gemma3_text", "an MLP gated with GELU"},
        {"t5", "an encoder beside the decoder, and relative positions"},
        {"whisper", "an encoder beside the decoder, and convolutions"},
        {"mamba", "a state-space scan"},
        {"mamba2", "a state-space scan"},
        {"rwkv", "a recurrence"},
        {"vit", "a convolution"},
    };
    return table;
}

}  // namespace wb
