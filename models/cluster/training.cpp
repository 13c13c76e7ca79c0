#include "models/cluster/training.hpp"

#include <algorithm>

#include "models/collective_time.hpp"

namespace wb::cluster {

namespace {

/// Seconds of the gradients, and of the weights where these are shared too. Replicas that share gradients sum them
/// after every microbatch, those that share weights gather them in every pass (Rajbhandari et al. 2020).
double data_seconds(const Exchange& x, const Mapping& m) {
    if (m.shard == 3) return m.microbatches * (2 * x.gather_weights + x.scatter_gradients) + x.between;
    if (m.shard == 2) return m.microbatches * x.scatter_gradients + x.gather_weights + x.between;
    return x.gradients;  // an all-reduce, or a reduce-scatter and an all-gather
}

}  // namespace

ScheduleConstants::ScheduleConstants(const Device& device)
    : end_stage_share(device.constant_or("end_stage_share", 0.5)),
      launch_time(device.constant_or("host_launch_time", 0)),
      stage_time(device.constant_or("host_stage_time", 0)),
      send_exposed(device.constant_or("send_exposed_fraction", 0.5)),
      stage_exposed(stage_exposed_fraction(device)),
      gradient_exposed(device.constant_or("gradient_exposed_fraction", 0.3)),
      step_time(device.constant_or("step_time", 0)),
      program_time(device.constant_or("program_time", 0)),
      host(host_of(device)) {}

Exchange exchange(const ModelWork& w, const Device& device, const Mapping& m) {
    Exchange out;
    const double pp = m.pipeline;
    out.send = stage_sends(device, w, m);
    const int neighbours = std::max(1, domain_units(device.system()) / m.tensor);
    if (m.context > 1)
        out.context = w.attention_layers * collective_time(device, CollectiveKind::allgather,
                                                           w.key_value_bytes * m.context, m.context, neighbours);
    const int replicas = m.data * m.context * m.expert;
    const int apart = std::max(1, neighbours / m.expert);  // ranks that share the experts are neighbours
    const auto both = [&](CollectiveKind kind, double dense, double experts) {
        return collective_time(device, kind, dense / pp, replicas, neighbours) +
               collective_time(device, kind, experts / pp, replicas / m.expert, apart);
    };
    out.gradients = both(CollectiveKind::allreduce, w.parameter_bytes, w.expert_bytes);
    if (m.shard < 2) return out;
    out.scatter_gradients = both(CollectiveKind::reduce_scatter, w.parameter_bytes, w.expert_bytes);
    out.gather_weights = both(CollectiveKind::allgather, w.weight_bytes, w.expert_weight_bytes);
    if (!m.open || m.expert > 1 || replicas <= neighbours || replicas % neighbours != 0) return out;
    // Or, in a run that is known to have fitted, only the units of a domain share, and domains sum what each unit has
    // of the gradients, once a step.
    const auto near = [&](CollectiveKind kind, double bytes) {
        return collective_time(device, kind, bytes / pp, neighbours, neighbours);
    };
    Exchange domains = out;
    domains.scatter_gradients = near(CollectiveKind::reduce_scatter, w.parameter_bytes);
    domains.gather_weights = near(CollectiveKind::allgather, w.weight_bytes);
    domains.between = collective_time(device, CollectiveKind::allreduce, w.parameter_bytes / pp / neighbours,
                                      replicas / neighbours, 1);
    return data_seconds(domains, m) < data_seconds(out, m) ? domains : out;
}

ModelStep compose(const ModelWork& w, const Exchange& x, const ScheduleConstants& c, const Device& device,
                  const Mapping& m) {
    const bool training = w.update > 0;
    const double pp = m.pipeline, mb = m.microbatches;
    const double layers = layer_seconds(c.launch_time, w.forward) + layer_seconds(c.launch_time, w.backward) +
                          (training ? repeated_seconds(c.launch_time, w, m) : 0);
    const double network = w.forward.network + w.backward.network;
    // Keys and values are gathered again for the backward pass, and their gradients scattered.
    const double context = training ? ring_exposed(w, 3 * x.context, c.send_exposed) * 3 * x.context : x.context;
    const double ends = w.forward.ends + w.backward.ends;
    ModelStep step;
    // The stage with the loss is the slowest unless layers are dealt unevenly; planners even half of it out.
    // Or the host of the stage is the slower one: it launches the kernels and hands the microbatch on.
    const double kernels = w.forward.kernels * (m.recompute == Mapping::Recompute::full ? 2 : 1) + w.backward.kernels;
    const double host = training && pp > 1 ? kernels / pp * c.launch_time + c.stage_time : 0;
    const double repeated = training ? repeated_seconds(c.launch_time, w, m) : 0;
    const Offload off = offload(w, c.host, m, (layer_seconds(c.launch_time, w.backward) + repeated) / pp);
    const double stage =
        std::max(layers / pp, host) + (network + context) / pp + (pp > 1 ? ends * c.end_stage_share : ends) + off.stall;
    const double sends = m.virtual_stages * x.send.paired;
    const double hops = (training ? 2 : 1) * m.virtual_stages * x.send.mean;
    step.compute = mb * (stage - (network + context) / pp - off.stall);
    step.host = mb * off.stall + off.tail;
    step.host_bytes = off.bytes;
    step.tensor_network = mb * network / pp;
    step.context_network = mb * context / pp;
    step.pipeline_network = (mb - 1) * sends * c.stage_exposed;  // the bubble has those of one microbatch
    step.bubble = (pp - 1) / m.virtual_stages *
                  (stage - (pp > 1 ? ends * c.end_stage_share : 0) + hops);  // the others have no loss
    step.activation_bytes = mb * w.collective_bytes / pp;
    if (training) {
        step.gradient_bytes = (w.parameter_bytes + w.expert_bytes) / pp;
        // Gradients are exchanged under the backward pass that completes them, weights under the forward pass after.
        const double data = data_seconds(x, m), room = (m.shard >= 2 ? mb : 1) * layers / pp;
        step.data_network = std::max(data * c.gradient_exposed, data - room);
        // Behind which the passes run slower: collectives hold part of their cores.
        step.compute += stolen_seconds(device, data - step.data_network, m.units() > domain_units(device.system()));
        step.update = m.offload ? off.update : w.update / pp / (m.shard > 0 ? m.data * m.context * m.expert : 1);
        if (m.open) step.update += c.step_time;  // a published run, by a framework's loop
    }
    step.time = step.compute + step.tensor_network + step.context_network + step.pipeline_network + step.bubble +
                step.data_network + step.host + step.update;
    // The host hands over the next pass while the units work on this one.
    step.dispatch = std::max(0.0, c.program_time - step.time);
    step.time += step.dispatch;
    return step;
}

ModelStep model_step(const Graph& local, const Device& device, const Mapping& m) {
    const ModelWork w = model_work(local, device, m);
    return compose(w, exchange(w, device, m), ScheduleConstants(device), device, m);
}

ModelStep blend(const ModelStep& a, const ModelStep& b, double of_b) {
    ModelStep out = a;
    for (double ModelStep::*part :
         {&ModelStep::time, &ModelStep::compute, &ModelStep::tensor_network, &ModelStep::context_network,
          &ModelStep::pipeline_network, &ModelStep::bubble, &ModelStep::data_network, &ModelStep::update,
          &ModelStep::host, &ModelStep::dispatch})
        out.*part += of_b * (b.*part - a.*part);
    return out;
}

std::vector<Span> ModelStep::spans() const {
    std::vector<Span> out;
    double at = 0;
    const auto put = [&](const char* resource, const char* phase, double duration, double bytes) {
        if (duration <= 0) return;
        out.push_back({-1, resource, phase, Seconds(at), Seconds(duration), Bytes(bytes), Flops(0)});
        at += duration;
    };
    put("compute", update > 0 ? "forward and backward" : "forward", compute, 0);
    put("network", "tensor parallel", tensor_network, activation_bytes);
    put("network", "context parallel", context_network, 0);
    put("network", "pipeline sends", pipeline_network, 0);
    put("idle", "pipeline bubble", bubble, 0);
    put("network", "gradients", data_network, gradient_bytes);
    put("host link", "gradients to the host", host, host_bytes);
    put(host_bytes > 0 ? "host" : "compute", "update", update, 0);
    put("idle", "host calls the program", dispatch, 0);
    return out;
}

}  // namespace wb::cluster
