#pragma once

#include <string>

#include "core/graph.hpp"
#include "core/mapping.hpp"

namespace wb::cluster {

/// What of a model a mapping must divide.
struct ModelShape {
    std::int64_t batch = 1, seq = 1, layers = 0, heads = 0, kv_heads = 0, experts = 0;
    bool training = false, decoding = false;
    bool is_model() const { return layers > 0; }  ///< not a bare operator
};
ModelShape shape_of(const Graph& graph);

/// Why the mapping does not divide the model or the units: which factor, and the nearest lawful ones; empty if it does.
/// Layers may be dealt as if embedding, head or a further prediction layer were one (Llama 3: 126 layers as 128,
/// section 3.3.2; DeepSeek-V3: 61 as 64).
std::string unlawful(const ModelShape& shape, const Mapping& mapping, int units);

// The same by factor, for a search.
bool lawful_tensor(const ModelShape& shape, int tensor);
bool lawful_pipeline(const ModelShape& shape, int runs);  ///< stages x virtual stages
bool lawful_context(const ModelShape& shape, int context);
bool lawful_expert(const ModelShape& shape, int expert);

}  // namespace wb::cluster
