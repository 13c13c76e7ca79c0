// config.json files as they lie beside published weights, with the keys each family uses.
#include <doctest/doctest.h>

#include <fstream>
#include <functional>

#include "core/error.hpp"
#include "core/tables.hpp"
#include "kernels/workloads/model/model_config.hpp"
#include "kernels/workloads/model/transformer.hpp"
#include "tests/temp_folder.hpp"

using namespace wb;

namespace {

struct Home : Folder {
    explicit Home(const std::string& config) { write(config); }
    void write(const std::string& config) const { std::ofstream(path / "config.json") << config; }
    std::string text() const { return path.string(); }
    ModelConfig load() const { return load_model(text(), Files({})); }
};

std::string problem(const std::function<void()>& action) {
    try {
        action();
    } catch (const Error& e) {
        return e.what();
    }
    return "";
}

std::int64_t parameters(const ModelConfig& m) {
    Graph g("forward");
    build_transformer(g, m, Pass::forward, {1, 8, DType::f32});
    return g.parameters();
}

struct Published {
    const char* name;
    std::int64_t parameters;  ///< of the weights as published, counted by their tensors
    const char* config;
};

const Published published[] = {
    {"gpt2", 124439808,
     R"({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "activation_function": "gelu_new", "n_ctx": 1024,
         "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024, "layer_norm_epsilon": 1e-05, "vocab_size": 50257,
         "bos_token_id": 50256, "initializer_range": 0.02, "summary_type": "cls_index"})"},
    {"gpt2 by the names of others", 124439808,
     R"({"architectures": ["GPT2LMHeadModel"], "activation_function": "gelu_new", "hidden_size": 768,
         "num_attention_heads": 12, "num_hidden_layers": 12, "max_position_embeddings": 1024, "vocab_size": 50257})"},
    {"gpt-j-6b", 6050882784,
     R"({"model_type": "gptj", "n_embd": 4096, "n_head": 16, "n_layer": 28, "n_positions": 2048, "n_inner": null,
         "rotary": true, "rotary_dim": 64, "tie_word_embeddings": false, "vocab_size": 50400})"},
    {"gpt-neox-20b", 20554567680,
     R"({"model_type": "gpt_neox", "hidden_act": "gelu_fast", "hidden_size": 6144, "intermediate_size": 24576,
         "layer_norm_eps": 1e-05, "max_position_embeddings": 2048, "num_attention_heads": 64, "num_hidden_layers": 44,
         "rotary_emb_base": 10000, "rotary_pct": 0.25, "tie_word_embeddings": false, "vocab_size": 50432})"},
    {"pythia-160m", 162322944,
     R"({"model_type": "gpt_neox", "hidden_act": "gelu", "hidden_size": 768, "intermediate_size": 3072,
         "max_position_embeddings": 2048, "num_attention_heads": 12, "num_hidden_layers": 12, "rotary_pct": 0.25,
         "use_parallel_residual": true, "vocab_size": 50304})"},
    {"mistral-7b", 7241732096,
     R"({"architectures": ["MistralForCausalLM"], "model_type": "mistral", "hidden_act": "silu", "hidden_size": 4096,
         "intermediate_size": 14336, "max_position_embeddings": 32768, "num_attention_heads": 32,
         "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
         "sliding_window": 4096, "tie_word_embeddings": false, "vocab_size": 32000})"},
    {"qwen2.5-0.5b", 494032768,
     R"({"model_type": "qwen2", "hidden_act": "silu", "hidden_size": 896, "intermediate_size": 4864,
         "max_position_embeddings": 32768, "max_window_layers": 24, "num_attention_heads": 14, "num_hidden_layers": 24,
         "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 32768,
         "tie_word_embeddings": true, "use_sliding_window": false, "vocab_size": 151936})"},
    {"qwen3-0.6b", 596049920,
     R"({"model_type": "qwen3", "attention_bias": false, "head_dim": 128, "hidden_act": "silu", "hidden_size": 1024,
         "intermediate_size": 3072, "max_position_embeddings": 40960, "max_window_layers": 28, "num_attention_heads": 16,
         "num_hidden_layers": 28, "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": null,
         "rope_theta": 1000000, "sliding_window": null, "tie_word_embeddings": true, "vocab_size": 151936})"},
    {"qwen3-8b", 8190735360,
     R"({"model_type": "qwen3", "head_dim": 128, "hidden_size": 4096, "intermediate_size": 12288,
         "num_attention_heads": 32, "num_hidden_layers": 36, "num_key_value_heads": 8, "rms_norm_eps": 1e-06,
         "tie_word_embeddings": false, "vocab_size": 151936})"},
    {"qwen3-30b-a3b", 30532122624,
     R"({"model_type": "qwen3_moe", "decoder_sparse_step": 1, "head_dim": 128, "hidden_size": 2048,
         "intermediate_size": 6144, "moe_intermediate_size": 768, "norm_topk_prob": true, "num_attention_heads": 32,
         "num_experts": 128, "num_experts_per_tok": 8, "num_hidden_layers": 48, "num_key_value_heads": 4,
         "tie_word_embeddings": false, "vocab_size": 151936})"},
    {"phi-2", 2779683840,
     R"({"model_type": "phi", "hidden_act": "gelu_new", "hidden_size": 2560, "intermediate_size": 10240,
         "layer_norm_eps": 1e-05, "max_position_embeddings": 2048, "num_attention_heads": 32, "num_hidden_layers": 32,
         "num_key_value_heads": null, "partial_rotary_factor": 0.4, "qk_layernorm": false, "vocab_size": 51200})"},
    {"phi-3-mini", 3821079552,
     R"({"model_type": "phi3", "hidden_act": "silu", "hidden_size": 3072, "intermediate_size": 8192,
         "max_position_embeddings": 4096, "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 32,
         "rms_norm_eps": 1e-05, "sliding_window": 2047, "vocab_size": 32064})"},
    {"starcoder2-3b", 3030371328,
     R"({"model_type": "starcoder2", "hidden_act": "gelu_pytorch_tanh", "hidden_size": 3072, "intermediate_size": 12288,
         "max_position_embeddings": 16384, "norm_epsilon": 1e-05, "num_attention_heads": 24, "num_hidden_layers": 30,
         "num_key_value_heads": 2, "rope_theta": 999999.4420358813, "sliding_window": 4096, "use_bias": true,
         "vocab_size": 49152})"},
    {"falcon-7b", 6921720704,
     R"({"model_type": "falcon", "alibi": false, "bias": false, "hidden_size": 4544, "layer_norm_epsilon": 1e-05,
         "multi_query": true, "new_decoder_architecture": false, "num_attention_heads": 71, "num_hidden_layers": 32,
         "parallel_attn": true, "vocab_size": 65024})"},
    {"deepseek-v2-lite", 15706484224,
     R"({"model_type": "deepseek_v2", "first_k_dense_replace": 1, "hidden_size": 2048, "intermediate_size": 10944,
         "kv_lora_rank": 512, "moe_intermediate_size": 1408, "n_routed_experts": 64, "n_shared_experts": 2,
         "norm_topk_prob": false, "num_attention_heads": 16, "num_experts_per_tok": 6, "num_hidden_layers": 27,
         "num_key_value_heads": 16, "q_lora_rank": null, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
         "routed_scaling_factor": 1.0, "scoring_func": "softmax", "topk_method": "greedy", "v_head_dim": 128,
         "rope_scaling": {"type": "yarn", "factor": 40}, "vocab_size": 102400})"},
    {"bert-base", 109514298,
     R"({"architectures": ["BertForMaskedLM"], "model_type": "bert", "hidden_act": "gelu", "hidden_size": 768,
         "intermediate_size": 3072, "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "num_attention_heads": 12,
         "num_hidden_layers": 12, "type_vocab_size": 2, "vocab_size": 30522})"},
    {"roberta-base", 124697433,
     R"({"architectures": ["RobertaForMaskedLM"], "model_type": "roberta", "hidden_act": "gelu", "hidden_size": 768,
         "intermediate_size": 3072, "layer_norm_eps": 1e-05, "max_position_embeddings": 514, "num_attention_heads": 12,
         "num_hidden_layers": 12, "pad_token_id": 1, "type_vocab_size": 1, "vocab_size": 50265})"},
};

constexpr const char* small_gpt2 = R"({"model_type": "gpt2", "n_embd": 48, "n_head": 4, "n_layer": 2, "n_positions": 64,
    "vocab_size": 61})";

std::string changed(std::string text, const std::string& from, const std::string& to) {
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("config.json: parameters of seventeen published models") {
    for (const Published& p : published) {
        CAPTURE(p.name);
        CHECK(parameters(Home(p.config).load()) == p.parameters);
    }
}

TEST_CASE("config.json: what changes no cost is noted, what changes the layers is built") {
    const auto find = [](const char* name) -> const Published& {
        return *std::find_if(std::begin(published), std::end(published),
                             [&](const Published& p) { return p.name == std::string(name); });
    };
    const ModelConfig lite = Home(find("deepseek-v2-lite").config).load();
    CHECK(lite.notes == std::vector<std::string>{"rope_scaling of type yarn", "norm_topk_prob = false"});
    CHECK(Home(find("mistral-7b").config).load().windows == std::vector<std::int64_t>{4096});
    CHECK(Home(find("phi-2").config).load().rotary_dim == 32);
    CHECK(Home(find("roberta-base").config).load().first_position == 2);
    const Home newer(changed(find("qwen3-8b").config, "\"vocab_size\"",
                             R"("rope_parameters": {"rope_theta": 5000000, "rope_type": "default"}, "vocab_size")"));
    CHECK(newer.load().rope_theta == 5e6);
}

TEST_CASE("config.json: what is not known is said in one sentence") {
    const auto said = [](const std::string& config) {
        const Home home(config);
        std::string text = problem([&] { home.load(); });
        const std::string where = home.text() + "/";
        return text.starts_with(where) ? text.substr(where.size()) : text;
    };
    const std::string known =
        "Known: gpt2, gptj, gpt_neox, bert, roberta, xlm-roberta, llama, mistral, mixtral, qwen2, qwen3, qwen3_moe, "
        "phi, "
        "phi3, starcoder2, falcon, RefinedWebModel, gpt_oss, deepseek_v2, deepseek_v3, kimi_k2, glm4_moe, llama4_text.";
    CHECK(said(R"({"model_type": "llamma"})") ==
          "config.json: \"model_type\" is \"llamma\", which is not known (its layers cannot be built). Did you mean "
          "\"llama\"? " +
              known);
    CHECK(said(R"({"model_type": "hyena"})") ==
          "config.json: \"model_type\" is \"hyena\", which is not known (its layers cannot be built). " + known);
    CHECK(said(R"({"model_type": "bloom"})") ==
          "config.json: \"model_type\" is \"bloom\" (it needs ALiBi, which no operator here computes). " +
              known.substr(0, known.size() - 1) + ". As an ONNX graph it may still be costed.");
    CHECK(said(R"({"hidden_size": 64})") ==
          "config.json: \"model_type\" is missing (it says which architecture this is). " + known);
    CHECK(said(R"({"architectures": ["HyenaForCausalLM"]})") ==
          "config.json: \"model_type\" is missing (and no known architecture is called \"HyenaForCausalLM\"). " +
              known);
    CHECK(said(changed(small_gpt2, "\"n_layer\": 2, ", "")) ==
          "config.json: \"n_layer\" is missing (or \"num_hidden_layers\") (the architecture is not known without it). "
          "The "
          "file has: model_type, n_embd, n_head, n_positions, vocab_size.");
    CHECK(said(changed(small_gpt2, "\"n_layer\": 2", "\"n_layer\": \"two\"")) ==
          "config.json: \"n_layer\" is \"two\" (it must be a whole number of at least 1).");
    CHECK(said(changed(small_gpt2, "\"n_layer\": 2", "\"n_layer\": 0")) ==
          "config.json: \"n_layer\" is 0 (it must be a whole number of at least 1).");
    CHECK(said(changed(small_gpt2, "\"n_head\": 4", "\"n_head\": 5")) ==
          "config.json: \"num_attention_heads\" is 5 for 48 features (they do not divide).");
    CHECK(said(changed(small_gpt2, "\"n_head\": 4", "\"n_head\": 4, \"activation_function\": \"relu\"")) ==
          "config.json: \"activation_function\" is \"relu\" (no operator here computes it). Known: gelu, gelu_new, "
          "gelu_pytorch_tanh, gelu_fast, gelu_python.");
    CHECK(said("{") == "config.json: is not a JSON object (a model is described as Hugging Face does).");
    CHECK(said("[1]") == "config.json: is not a JSON object (a model is described as Hugging Face does).");
}

TEST_CASE("model = a path: absolute, beside the experiment, in the working folder, or the file itself") {
    const Folder home;
    std::filesystem::create_directories(home.path / "models" / "mine");
    std::ofstream(home.path / "models" / "mine" / "config.json") << small_gpt2;
    const Files none({}), near = none.beside(home.path.string());
    CHECK(load_model((home.path / "models/mine").string(), none).hidden == 48);
    CHECK(load_model((home.path / "models/mine/config.json").string(), none).hidden == 48);
    CHECK(load_model("models/mine", near).hidden == 48);
    CHECK(load_model("mine", Files({home.path.string()})).hidden == 48);
    const std::filesystem::path before = std::filesystem::current_path();
    std::filesystem::current_path(home.path);
    CHECK(load_model("models/mine", none).hidden == 48);
    CHECK(load_model("./models/mine/", none).hidden == 48);
    std::filesystem::current_path(before);
    CHECK(
        problem([&] { load_model("models/yours", near); }) ==
        "model: there is no folder \"models/yours\" (a path is looked up beside the experiment file and in the working "
        "folder).");
    CHECK(problem([&] { load_model("mine2", Files({home.path.string()})); }) ==
          "model: there is no model \"mine2\" (its shape is not known). Did you mean \"mine\"?");
    CHECK(problem([&] { load_model(home.path.string(), none); }) ==
          home.path.string() +
              ": has no config.json (it says what the model is). A folder as Hugging Face keeps it has "
              "one.");
}
