#pragma once

#include <string>

#include "kernels/workloads/model/model_config.hpp"

namespace wb {

/// A model without a file, by its shape: "{hidden=4096,layers=32,heads=32,ffn=11008,vocab=32000,gated=1}". Gated
/// (SwiGLU) ones are built as Llama is, with RMSNorm and no biases; the others as GPT is, with LayerNorm, biases and
/// tied embeddings; both with rotary positions, which set no limit to the sequence. Optional: kv_heads (heads),
/// head_dim (hidden / heads), gated (0), experts, topk, moe_ffn (ffn), shared_experts. Throws Error for an unknown,
/// missing or repeated key and for a value that is no positive whole number.
ModelConfig inline_model(const std::string& description);

/// Whether a model's name is such a description.
inline bool is_inline_model(const std::string& name) { return name.starts_with('{'); }

}  // namespace wb
