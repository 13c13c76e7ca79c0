#pragma once

#include <vector>

#include "core/graph.hpp"
#include "core/mapping.hpp"
#include "models/device.hpp"
#include "models/steps.hpp"

namespace wb::cluster {

/// Seconds of one microbatch on one rank, by pass: of all layers, and of what stands before or after them.
struct Pass {
    double layers = 0, ends = 0;
    double network = 0;    ///< calls between the units of a stage, all layers
    double attention = 0;  ///< of all layers: what selective recomputation repeats
    double light = 0;      ///< of their norms and activation functions: repeated too where attention is fused
    double kernels = 0;    ///< launched in all layers of a training step: the host issues them one by one
    double closing = 0;    ///< of the last product of all layers, whose output no backward pass reads
};

/// Calls of one sort that a microbatch makes in all layers together.
struct Call {
    CollectiveKind kind = CollectiveKind::none;
    Axis axis = Axis::tensor;
    double bytes = 0;  ///< of each, as nccl-tests counts them
    double times = 0;
    double seconds = 0;  ///< of each
    bool backward = false;
};

/// What one tensor rank does with one microbatch of a model, before pipeline stages share the layers: all a step or a
/// schedule is made of.
struct ModelWork {
    Pass forward, backward;  ///< an inference has no backward pass
    double update = 0;
    double update_bytes = 0;     ///< read and written by the update of all layers
    double parameter_bytes = 0;  ///< gradients of this tensor rank, all layers, without those of experts
    double expert_bytes = 0;     ///< those of experts, which fewer replicas share
    double weight_bytes = 0, expert_weight_bytes = 0;  ///< of the weights themselves, frozen ones included
    double boundary_bytes = 0;                         ///< one microbatch between two stages
    double collective_bytes = 0;                       ///< one microbatch, tensor-parallel
    double key_value_bytes = 0;  ///< keys and values of one microbatch, of one layer: what context ranks exchange
    double attention_layers = 0;
    std::vector<Call> calls;
};

/// `local` is the part of tensor rank 0 of the whole batch (core/partition). Depends on the tensor ranks, the share of
/// the tokens, the expert ranks and sequence parallelism of the mapping alone.
ModelWork model_work(const Graph& local, const Device& device, const Mapping& mapping);

/// Seconds of all layers: kernels of the device, or the host that launches them where they are short.
double layer_seconds(const Device& device, const Pass& pass);
/// The same where the s of a launch are known.
double layer_seconds(double host_launch_time, const Pass& pass);
/// Seconds a microbatch's backward pass repeats of its forward pass. With the algorithm "early-stop" a layer is made
/// again up to the last value that the backward pass asks for, as PyTorch's checkpoints are since 2.1.
double repeated_seconds(const Device& device, const ModelWork& work, const Mapping& mapping);
double repeated_seconds(double host_launch_time, const ModelWork& work, const Mapping& mapping);

/// Norms and activation functions: quickly made again from what is kept of a layer.
bool is_light(OpKind kind);

/// Part of a training step's `seconds` of exchanges between context ranks, a microbatch, that waits. Keys and values go
/// round in a ring, the next ones under the attention over those at hand (Liu et al. 2023); `least` is never hidden.
double ring_exposed(const ModelWork& work, double seconds, double least);

/// True if the graph updates weights.
bool is_training(const Graph& graph);

}  // namespace wb::cluster
