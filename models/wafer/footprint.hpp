#pragma once

#include "core/case.hpp"
#include "models/wafer/machine.hpp"

namespace wb::wafer {

/// Bytes of a graph, all instances together.
struct Footprint {
    double weights = 0, cache = 0;  ///< weights; caches and other state
    double activations = 0;         ///< inputs, and the most that one iteration of a block makes
    double carried = 0;             ///< what each of a train step's layers leaves for its backward pass
    double parameters = 0;
    double total() const { return weights + cache + activations; }
};
Footprint footprint(const Graph& g);

/// The graph's ops without the phases "backward" and "update".
bool trains(const Graph& g);
/// Training, and the loss of held-out tokens: what a job that streams its weights does.
bool has_loss(const Graph& g);

/// The manager of a cache of keys and values (He et al., OSDI 2025): `shift` moves rows of tokens so that all rows of
/// PEs hold as many; `concat` appends to the last row, which fills alone.
enum class CacheManager { shift, concat };

/// Tokens that can still be decoded, after those a decode graph finds in its cache, until `wafers` wafers are full;
/// `rows` is the height of the rectangle that decodes. 0 if the weights alone do not fit.
double cache_tokens(const Machine& m, const Graph& g, int wafers, CacheManager manager, int rows);

/// Time to move all weights and the cache from one placement on a wafer to another: half of the bytes cross the middle
/// of the mesh, over all its links.
Seconds transition(const Machine& m, const Graph& g, int wafers);

}  // namespace wb::wafer
