#pragma once

#include <string>
#include <vector>

#include "core/mapping.hpp"
#include "core/measurement.hpp"
#include "core/partition.hpp"
#include "models/device.hpp"

namespace wb::cluster {

/// Bytes one tensor rank would hold without pipeline, replicas or microbatches; read once from its part of the graph.
struct ModelMemory {
    struct Parameters {
        double weights = 0, gradients = 0, optimizer = 0;
        double total() const { return weights + gradients + optimizer; }
    };
    Parameters layers, experts;  ///< of all layers; `experts` are not in `layers`
    Parameters first, last;      ///< beside the layers: the embedding; the final norm and the head
    // What the backward pass needs of the forward pass, all layers, all tokens of the batch:
    double kept_cut = 0, kept_whole = 0;    ///< cut by tensor parallelism; repeated on every rank of it
    double light_cut = 0, light_whole = 0;  ///< of these: what selective recomputation makes again
    double scores = 0;                      ///< of attention that does not fuse them; recomputed selectively
    double inputs = 0;                      ///< of the layers: all that full recomputation keeps
    double ends = 0;                        ///< before and after the layers: logits above all
    double cache = 0;                       ///< keys and values of an inference
    double working = 0;                     ///< arena of an inference, all tokens
    double layers_count = 0;
    bool training = false;
};

/// Korthikanti et al. 2022, section 4: with kernels that do not fuse attention, scores are kept as softmax, mask and
/// dropped softmax (5 bytes each in 16 bit) and every layer keeps two dropout masks. Gradients of weights narrower than
/// 32 bits are accumulated in 32.
ModelMemory model_memory(const Partition& part, const Device& device);

/// Bytes on the unit that holds most: the first stage of a pipeline, which keeps the most microbatches.
struct Footprint {
    double weights = 0, gradients = 0, optimizer = 0;  ///< of the layers of a stage; without pipeline all
    double ends = 0;         ///< of a pipeline's heavier end: embedding or head with their gradients and optimizer
    double activations = 0;  ///< of the layers, all microbatches in flight
    double loss = 0;         ///< activations before and after the layers
    double cache = 0, buffers = 0;
    double host_gradients = 0, host_optimizer = 0;  ///< a unit's share of what lies in the memory of the host
    double hosted() const { return host_gradients + host_optimizer; }
    double total() const { return weights + gradients + optimizer + ends + activations + loss + cache + buffers; }
    /// `capacity` of a unit, `host` memory for each unit; 0 if unknown.
    std::vector<MemoryUse> levels(double capacity, double host = 0) const;
    std::string text() const;  ///< "140.00 GB: weights 20.00 GB, ..."
};
Footprint footprint(const ModelMemory& memory, const Mapping& mapping);
/// Of a model of which the part `of_b` is kept as in `b`.
Footprint blend(const Footprint& a, const Footprint& b, double of_b);

/// Layers of a stage's share that are kept at once, as microbatches of all layers of the model: GPipe keeps all, 1F1B
/// one for each stage to come, interleaved a little more (Korthikanti et al. 2022, section 4.2.3).
double microbatches_in_flight(const Mapping& mapping);

/// Bytes of a unit's main memory; 0 if unlimited.
double unit_capacity(const System& system);

}  // namespace wb::cluster
