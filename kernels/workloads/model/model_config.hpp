#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/workload.hpp"

namespace wb {

class ModelWeights;

/// A transformer's architecture, read from a Hugging Face config.json.
struct ModelConfig {
    std::string type;  ///< "gpt2", "llama", "deepseek_v3", ...
    std::int64_t hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, vocab = 0, positions = 0;
    std::int64_t ffn = 0;  ///< width of the dense MLP
    double eps = 1e-5;
    bool rmsnorm = false;            ///< else LayerNorm with bias
    bool post_norm = false;          ///< BERT: the norm follows the residual
    bool parallel_residual = false;  ///< GPT-J: attention and MLP read the same norm
    bool parallel_norms = false;     ///< GPT-NeoX: parallel, but each reads a norm of its own
    bool head_norms = false;         ///< Qwen3: RMSNorm of every head of queries and keys
    bool causal = true;
    bool learned_positions = false;
    std::int64_t first_position = 0;  ///< RoBERTa: row of the table that the first token takes
    std::int64_t token_types = 0;     ///< BERT: segment embeddings
    std::int64_t rotary_dim = 0;      ///< 0: no RoPE
    double rope_theta = 10000;
    bool rope_interleaved = false;
    bool gated = false;  ///< SwiGLU: three matrices; else two and GELU
    bool gelu_tanh = true;
    bool qkv_bias = false, out_bias = false, mlp_bias = false, head_bias = false;
    bool tied = true;
    std::vector<std::int64_t>
        windows;  ///< sliding window of each layer of the repeating pattern, 0 = full; {0} if none
    // mixture of experts
    std::int64_t experts = 0, topk = 0, expert_ffn = 0, shared_experts = 0, dense_layers = 0;
    std::int64_t expert_period = 1;  ///< Llama 4: the last of so many layers is the mixture, the others are dense
    bool sigmoid_gate = false, router_bias = false;
    double gate_scale = 1;
    // multi-head latent attention
    std::int64_t q_rank = 0, kv_rank = 0, nope_dim = 0, rope_dim = 0, v_head_dim = 0;

    std::shared_ptr<const ModelWeights> weights;  ///< null: values from a hash
    std::vector<std::string> notes;  ///< what the file asks for that changes values and not costs, and is not done

    bool latent() const { return kv_rank > 0; }

    /// The same architecture a few features wide and deep with hashed weights, for verification.
    ModelConfig shrunk() const;
};

/// Reads configs/models/<name>/config.json, the config.json of a folder of the user's, or a shape in braces (see
/// inline_model). Weights beside it in safetensors files are found; their shapes are checked when a graph asks for
/// them. Errors with the file's name: an architecture that is not known, a field that is missing.
ModelConfig load_model(const std::string& name, const Files& files);

/// Model types that load_model reads.
std::vector<std::string> known_model_types();

}  // namespace wb
