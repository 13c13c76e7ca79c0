#pragma once

#include <optional>

#include "core/graph.hpp"
#include "models/kernel.hpp"

namespace wb::cluster {

/// The part of a graph's work one unit does beside what the graph itself was cut to.
struct Share {
    double tokens = 1;   ///< of the graph's tokens: one microbatch of one replica
    double experts = 1;  ///< experts are dealt to this many units, which exchange their tokens
    /// Products run in this type where an operand is wider: 8-bit recipes round activations and gradients on the way
    /// (NVIDIA Transformer Engine). See product_type().
    std::optional<DType> product_type = std::nullopt;
    bool searched = false;  ///< products have the shape that a search found to be the fastest
    bool ready = false;     ///< the scales of 8-bit operands are known ahead, as they are in inference
    bool wide = false;      ///< what lies between products has 16 bits or more, as in training; see kept_bytes()
};

/// Bytes of a value as it lies in memory. 8-bit recipes of training round what products read and keep all else in 16
/// bits (Micikevicius et al. 2022), whatever type a graph of 8-bit weights gives it.
double kept_bytes(const Graph& graph, TensorId id, bool wide);

/// The narrowest type of the matrices a graph multiplies by; nothing if no product has a weight.
std::optional<DType> product_type(const Graph& graph);

/// What one operator of a rank's graph costs the unit; weights and what is done to them stay whole. Collectives cost
/// nothing here.
Kernel kernel_of(const Device& device, const Graph& local, const Op& op, Share share = {});

}  // namespace wb::cluster
