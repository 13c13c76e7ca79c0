#pragma once

#include <cstdint>

#include "core/graph.hpp"

namespace wb {

/// What one inference step of a transformer works on.
struct StepShape {
    std::int64_t batch = 1;   ///< sequences
    std::int64_t step = 1;    ///< new tokens of each
    std::int64_t cached = 0;  ///< tokens each has already
    bool operator==(const StepShape&) const = default;
};

/// As its attention says. Throws Error for a graph without one, or whose attentions differ.
StepShape step_shape(const Graph& graph);

/// The same model, with the same weights, for another number of sequences and tokens: a prefill or decode graph whose
/// inputs, caches and activations follow. Its dtypes stay as they are. `spare` more tokens of each sequence fit into
/// the caches that a prefill fills.
Graph resized(const Graph& graph, const StepShape& to, std::int64_t spare = 0);

/// Bytes of cache that one token of one sequence takes, all layers together; and of all weights.
double cache_bytes_per_token(const Graph& graph);
Bytes weight_bytes(const Graph& graph);

}  // namespace wb
