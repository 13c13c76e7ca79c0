#include "models/cluster/training.hpp"

#include <algorithm>
#include <cmath>

#include "models/collective_time.hpp"
#include "models/operator_cost.hpp"

namespace wb::cluster {
namespace {

/// Seconds of one microbatch on one rank, by pass: of all layers, and of what stands before or after them.
struct Pass {
    double layers = 0, ends = 0;
    double network = 0;    ///< tensor-parallel calls of all layers
    double attention = 0;  ///< of all layers: what selective recomputation repeats
    double kernels = 0;    ///< launched in all layers: the host issues them one by one
    double total() const { return layers + ends + network; }
};

struct Work {
    Pass forward, backward;
    double update = 0;
    double parameter_bytes = 0;   ///< gradients of this tensor rank, all layers
    double expert_bytes = 0;      ///< of them those of experts, which fewer replicas share
    double boundary_bytes = 0;    ///< one microbatch between two stages
    double collective_bytes = 0;  ///< one microbatch, tensor-parallel
};

bool is_vector(OpKind kind) {
    return kind != OpKind::matmul && kind != OpKind::grouped_matmul && kind != OpKind::head_matmul &&
           kind != OpKind::attention && kind != OpKind::attention_backward;
}

class Reader {
public:
    Reader(const Graph& g, const Device& d, const Mapping& m)
        : graph_(g),
          device_(d),
          mapping_(m),
          tokens_(1.0 / (static_cast<double>(m.data) * m.context * m.expert * m.microbatches)),
          gap_(d.constant("gap_time")),
          type_(product_type(g)) {}

    Work read() {
        for (const Block& block : graph_.blocks())
            for (int i = block.first; i < block.last; ++i) add(block, graph_.ops()[static_cast<std::size_t>(i)]);
        for (const Block& block : graph_.blocks())
            if (block.repeat > 1 && !block.carries.empty()) {
                work_.boundary_bytes = tokens_ * graph_.bytes(block.carries.front().in).si();
                break;
            }
        return work_;
    }

private:
    void add(const Block& block, const Op& op) {
        const double times = static_cast<double>(block.repeat);
        if (op.kind == OpKind::adamw) {
            const bool expert = graph_.tensor(op.in[0]).shape.size() == 3;  // [experts, in, out]
            const double held = expert ? 1.0 / mapping_.expert : 1;
            work_.update += times * (held * kernel_of(device_, graph_, op).time + gap_);
            (expert ? work_.expert_bytes : work_.parameter_bytes) += times * held * graph_.bytes(op.in[1]).si();
            return;
        }
        Pass& pass = block.phase == "forward" ? work_.forward : work_.backward;
        if (op.kind == OpKind::collective) {
            const double bytes = tokens_ * graph_.bytes(op.in[0]).si();
            work_.collective_bytes += times * bytes;
            pass.network += times * device_.constant_or("tensor_exposed_fraction", 1) *
                            collective_time(device_, op.attributes.collective, bytes, mapping_.tensor);
            return;
        }
        if (op.kind == OpKind::moe_dispatch || op.kind == OpKind::moe_combine ||
            op.kind == OpKind::moe_combine_backward)
            exchange(op, times, pass);
        Kernel k = kernel_of(device_, graph_, op, {tokens_, static_cast<double>(mapping_.expert), type_});
        if (mapping_.sequence_parallel && is_vector(op.kind)) k.time *= op.attributes.share;
        (block.repeat > 1 ? pass.layers : pass.ends) += times * (k.time + gap_);
        if (block.repeat > 1) pass.kernels += times;
        if (op.kind == OpKind::attention) pass.attention += times * (k.time + gap_);
    }

    /// Tokens travel to the units that hold their experts, and back.
    void exchange(const Op& op, double times, Pass& pass) {
        const double bytes = tokens_ * std::max(graph_.bytes(op.in[0]), graph_.bytes(op.out[0])).si();
        pass.network += times * collective_time(device_, CollectiveKind::alltoall, bytes, mapping_.expert,
                                                std::max(1, domain_units(device_.system()) / mapping_.tensor));
    }

    const Graph& graph_;
    const Device& device_;
    const Mapping& mapping_;
    double tokens_, gap_;
    std::optional<DType> type_;
    Work work_;
};

/// Kernels of the device, or the host that launches them where they are short.
double device_or_host(const Device& device, const Pass& pass) {
    return std::max(pass.layers, pass.kernels * device.constant_or("host_launch_time", 0));
}

double repeated(const Device& device, const Work& w, Mapping::Recompute recompute) {
    if (recompute == Mapping::Recompute::full) return device_or_host(device, w.forward) + w.forward.network;
    return recompute == Mapping::Recompute::selective ? w.forward.attention : 0;
}

}  // namespace

bool is_training(const Graph& graph) {
    return std::any_of(graph.ops().begin(), graph.ops().end(), [](const Op& op) { return op.kind == OpKind::adamw; });
}

TrainingStep training_step(const Graph& local, const Device& device, const Mapping& m) {
    const Work w = Reader(local, device, m).read();
    const double pp = m.pipeline, mb = m.microbatches;
    const double layers =
        device_or_host(device, w.forward) + device_or_host(device, w.backward) + repeated(device, w, m.recompute);
    const double network = w.forward.network + w.backward.network;
    const double ends = w.forward.ends + w.backward.ends;
    TrainingStep step;
    // The stage with the loss is the slowest unless layers are dealt unevenly; planners even half of it out.
    const double stage = (layers + network) / pp + (pp > 1 ? ends * device.constant_or("end_stage_share", 0.5) : ends);
    const double sends = pp > 1 ? 2 * m.virtual_stages *
                                      collective_time(device, CollectiveKind::send_recv,
                                                      w.boundary_bytes / (m.sequence_parallel ? m.tensor : 1), 2)
                                : 0;
    step.compute = mb * (stage - network / pp);
    step.tensor_network = mb * network / pp;
    step.pipeline_network = mb * sends * device.constant_or("send_exposed_fraction", 0.5);
    step.bubble = (pp - 1) / m.virtual_stages * (stage + sends);
    const int replicas = m.data * m.context * m.expert;
    step.gradient_bytes = (w.parameter_bytes + w.expert_bytes) / pp;
    const int neighbours = std::max(1, domain_units(device.system()) / m.tensor);
    const auto exchange = [&](double bytes, int ranks) {
        return collective_time(device, CollectiveKind::allreduce, bytes / pp, ranks, neighbours);
    };
    step.data_network = (exchange(w.parameter_bytes, replicas) + exchange(w.expert_bytes, replicas / m.expert)) *
                        device.constant_or("gradient_exposed_fraction", 0.3);
    step.update = w.update / pp / (m.shard > 0 ? replicas : 1);
    step.activation_bytes = mb * w.collective_bytes / pp;
    step.time =
        step.compute + step.tensor_network + step.pipeline_network + step.bubble + step.data_network + step.update;
    return step;
}

std::vector<Span> TrainingStep::spans() const {
    std::vector<Span> out;
    double at = 0;
    const auto put = [&](const char* resource, const char* phase, double duration, double bytes) {
        if (duration <= 0) return;
        out.push_back({-1, resource, phase, Seconds(at), Seconds(duration), Bytes(bytes), Flops(0)});
        at += duration;
    };
    put("compute", "forward and backward", compute, 0);
    put("network", "tensor parallel", tensor_network, activation_bytes);
    put("network", "pipeline sends", pipeline_network, 0);
    put("idle", "pipeline bubble", bubble, 0);
    put("network", "gradients", data_network, gradient_bytes);
    put("compute", "update", update, 0);
    return out;
}

}  // namespace wb::cluster
