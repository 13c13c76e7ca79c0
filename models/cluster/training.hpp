#pragma once

#include <vector>

#include "core/graph.hpp"
#include "core/mapping.hpp"
#include "core/measurement.hpp"
#include "models/device.hpp"

namespace wb::cluster {

/// One optimizer step of a graph with phases forward, backward and update, spread by a mapping: tensor parallelism
/// inside the local graph, layers over pipeline stages in (interleaved) 1F1B order, replicas whose gradients are
/// summed, and recomputation. Composition after Narayanan et al. 2021 and Korthikanti et al. 2022:
///   T = mb x slowest stage + (pp - 1) / vp x one stage + exposed gradient exchange + optimizer.
struct TrainingStep {
    double time = 0;
    double compute = 0, tensor_network = 0, pipeline_network = 0, bubble = 0, data_network = 0, update = 0;  ///< s
    double gradient_bytes = 0, activation_bytes = 0;  ///< a rank hands to data-parallel and to tensor-parallel calls
    std::vector<Span> spans() const;
};

/// `local` is the part of tensor rank 0 of the whole batch (core/partition).
TrainingStep training_step(const Graph& local, const Device& device, const Mapping& mapping);

/// True if the graph updates weights.
bool is_training(const Graph& graph);

}  // namespace wb::cluster
