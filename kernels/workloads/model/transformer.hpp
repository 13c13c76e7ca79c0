#pragma once

#include <optional>

#include "core/graph.hpp"
#include "kernels/workloads/model/model_config.hpp"

namespace wb {

/// What a forward pass is for.
enum class Pass {
    train,    ///< all positions, loss
    forward,  ///< all positions, logits of all of them, no cache: what an exported graph computes
    prefill,  ///< all positions, fills the KV cache, logits of the last position
    decode    ///< one position after `seq` cached ones, logits
};

struct Sequence {
    std::int64_t batch = 1;
    std::int64_t seq = 1;  ///< tokens of each sequence; decode: tokens already in the cache
    DType dtype = DType::f32;
    std::optional<DType> cache = {};  ///< of keys and values, where it differs
};

/// Appends the forward pass of a transformer to `g`. Train marks the loss, the others the logits [batch, vocab] as
/// output.
void build_transformer(Graph& g, const ModelConfig& model, Pass pass, const Sequence& sequence);

}  // namespace wb
