#pragma once

#include <vector>

#include "core/graph.hpp"

namespace wb {

/// A tensor and the gradient of the loss with respect to it (same shape and type).
struct Gradient {
    TensorId of, gradient;
};

/// Appends the backward pass of everything `g` holds so far, derived op by op, and returns the gradients of all weights
/// and of the inputs in `wanted`. It starts from the `seeds` (gradients that are given) and from every cross_entropy,
/// whose mean over rows is the loss. A repeated block becomes a repeated block that runs the other way. Weights in
/// `frozen` get no gradient, nor does what leads to them alone.
std::vector<Gradient> derive_backward(Graph& g, const std::vector<Gradient>& seeds = {},
                                      const std::vector<TensorId>& wanted = {},
                                      const std::vector<TensorId>& frozen = {});

/// AdamW (Loshchilov, Hutter 2019) with the moments in f32 (f64 for f64 weights) and, for narrower weights, a master
/// copy in f32: one update op for each gradient, in a phase "update".
struct AdamW {
    double rate = 3e-4, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, decay = 0.1;
};
void add_update(Graph& g, const std::vector<Gradient>& gradients, const AdamW& settings = {});

}  // namespace wb
