#pragma once

#include <vector>

#include "core/graph.hpp"
#include "core/mapping.hpp"
#include "core/measurement.hpp"
#include "models/device.hpp"
#include "models/model_work.hpp"
#include "models/offload.hpp"
#include "models/stage_sends.hpp"

namespace wb::cluster {

/// One optimizer step of a graph with phases forward, backward and update, spread by a mapping: tensor parallelism
/// inside the local graph, layers over pipeline stages in (interleaved) 1F1B order, replicas whose gradients are
/// summed, and recomputation. Composition after Narayanan et al. 2021 and Korthikanti et al. 2022:
///   T = mb x slowest stage + (pp - 1) / vp x one stage + exposed gradient exchange + optimizer.
/// An inference is the same with one pass: the bubble is the way of the last microbatch through the stages.
struct ModelStep {
    double time = 0;
    double compute = 0, tensor_network = 0, context_network = 0, pipeline_network = 0, bubble = 0, data_network = 0,
           update = 0;      ///< s
    double host = 0;        ///< s of gradients on their way to the host that nothing hides
    double host_bytes = 0;  ///< a unit sends there; 0: the units themselves update
    double dispatch = 0;    ///< s the units are done before their host has the next pass ready
    double gradient_bytes = 0, activation_bytes = 0;  ///< a rank hands to data-parallel and to tensor-parallel calls
    std::vector<Span> spans() const;
};
/// The step of a model of which the part `of_b` is worked on as in `b`.
ModelStep blend(const ModelStep& a, const ModelStep& b, double of_b);

/// Seconds of what the units of a mapping say to each other, microbatches and recomputation aside: the slow part of a
/// step, shared by many mappings of a search.
struct Exchange {
    StageSends send;            ///< one microbatch to the next stage
    double context = 0;         ///< keys and values of one microbatch, all layers, one all-gather each
    double gradients = 0;       ///< of all replicas, summed and given back: before any is hidden
    double gather_weights = 0;  ///< of one pass, where replicas share the weights
    double scatter_gradients = 0;
    double between = 0;  ///< gradients between domains, where only the units of a domain share
};
Exchange exchange(const ModelWork& work, const Device& device, const Mapping& mapping);

/// Constants of the schedule, looked up once.
struct ScheduleConstants {
    explicit ScheduleConstants(const Device& device);
    double end_stage_share;
    double launch_time,
        stage_time;  ///< the latter: s the host of a pipeline stage needs for one microbatch beside the launches
    double send_exposed, stage_exposed,
        gradient_exposed;  ///< shares of messages around a context ring, to the next stage, of gradients, that wait
    double step_time;  ///< s of the frameworks of published runs from one optimizer step to the next, hidden by nothing
    double
        program_time;  ///< s of the host for a call of the compiled program that a pass is; 0 where kernels are called
    Host host;
};

/// A step from its parts: arithmetic alone.
ModelStep compose(const ModelWork& work, const Exchange& exchange, const ScheduleConstants& constants,
                  const Device& device, const Mapping& mapping);

/// `local` is the part of tensor rank 0 of the whole batch (core/partition).
ModelStep model_step(const Graph& local, const Device& device, const Mapping& mapping);

}  // namespace wb::cluster
