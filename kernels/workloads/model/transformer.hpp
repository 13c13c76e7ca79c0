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

/// Low-rank adapters (Hu et al. 2021): beside a matrix W [in, out] stand A [in, rank] and B [rank, out], and the
/// product is x W + (x A) B. In 16 bits where the model has fewer.
struct Adapters {
    std::int64_t rank = 0;  ///< 0: none
    bool mlp = false;       ///< beside the matrices of the MLP too, not those of attention alone
};

/// Appends the forward pass of a transformer to `g`. Train marks the loss, the others the logits [batch, vocab] as
/// output. The names of the adapters' matrices end with ".adapter_a" and ".adapter_b".
void build_transformer(Graph& g, const ModelConfig& model, Pass pass, const Sequence& sequence,
                       const Adapters& adapters = {});

}  // namespace wb
