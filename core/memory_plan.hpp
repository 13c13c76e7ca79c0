#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/fusion.hpp"
#include "core/graph.hpp"

namespace wb {

/// A stored tensor instance: carried values and results of repeats are names for other tensors' instances.
struct Location {
    TensorId tensor;
    std::int64_t instance;
};

/// Which stored instance `id` means in iteration `iteration` of its block (0 for tensors outside repeats).
Location locate(const Graph& g, TensorId id, std::int64_t iteration);

/// Where tensors live: those that outlive a run each on their own, activations in one arena shared by lifetime.
struct MemoryPlan {
    struct Place {
        bool stored = false;      ///< false: a name for another tensor (see locate)
        bool in_arena = false;    ///< else it has memory of its own
        std::int64_t slots = 1;   ///< instance i lies in slot i % slots
        std::int64_t stride = 0;  ///< bytes from slot to slot
        std::int64_t offset = 0;  ///< of slot 0 in the arena
    };
    std::vector<Place> places;  ///< by tensor
    std::int64_t arena_bytes = 0;
    Bytes inputs, weights, state, activations;  ///< what is resident; activations = the arena

    Bytes total() const { return inputs + weights + state + activations; }
};

/// A tensor that must be there while `op` runs, which neither reads nor writes it: ops run in another order, or what
/// was begun before goes on.
struct Hold {
    TensorId id;
    int op;
};

/// First fit by lifetime; every place is aligned to `alignment` bytes. What fused ops read and write lives at one
/// place.
MemoryPlan plan_memory(const Graph& g, std::int64_t alignment = 64, const FusedOps& fused = {},
                       std::span<const Hold> holds = {});

}  // namespace wb
