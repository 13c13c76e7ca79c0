#include "models/model_work.hpp"

#include <algorithm>

#include "models/collective_time.hpp"
#include "models/operator_cost.hpp"

namespace wb::cluster {
namespace {

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
          training_(is_training(g)),
          tokens_(1.0 / (static_cast<double>(m.data) * m.context * m.expert * m.microbatches)),
          gap_(d.constant("gap_time")),
          prefill_gap_(d.constant_or("prefill_gap_time", gap_)),
          type_(product_type(g)) {}

    ModelWork read() {
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
        const bool backward = training_ && block.phase != "forward";
        Pass& pass = backward ? work_.backward : work_.forward;
        if (op.kind == OpKind::collective) {
            const double bytes = tokens_ * graph_.bytes(op.in[0]).si();
            work_.collective_bytes += times * bytes;
            call({op.attributes.collective, Axis::tensor, bytes, times, 0, backward}, mapping_.tensor, 0, pass);
            return;
        }
        if (op.kind == OpKind::moe_dispatch || op.kind == OpKind::moe_combine ||
            op.kind == OpKind::moe_combine_backward) {  // tokens travel to the units that hold their experts, and back
            const double bytes = tokens_ * std::max(graph_.bytes(op.in[0]), graph_.bytes(op.out[0])).si();
            call({CollectiveKind::alltoall, Axis::expert, bytes, times, 0, backward}, mapping_.expert,
                 std::max(1, domain_units(device_.system()) / mapping_.tensor), pass);
        }
        const bool serving = block.phase == "prefill" || block.phase == "decode";
        Kernel k =
            kernel_of(device_, graph_, op, {tokens_, static_cast<double>(mapping_.expert), type_, false, serving});
        if (mapping_.sequence_parallel && is_vector(op.kind)) k.time *= op.attributes.share;
        const double gap = block.phase == "prefill" ? prefill_gap_ : gap_;  // prompts are of any length: no CUDA graph
        (block.repeat > 1 ? pass.layers : pass.ends) += times * (k.time + gap);
        if (training_ && block.repeat > 1) pass.kernels += times;  // an inference replays a graph of launches
        if (op.kind == OpKind::attention) add_attention(op, times, times * (k.time + gap), pass);
    }

    void add_attention(const Op& op, double times, double seconds, Pass& pass) {
        pass.attention += seconds;
        work_.attention_layers += times;
        work_.key_value_bytes = tokens_ * (graph_.bytes(op.in[1]) + graph_.bytes(op.in[2])).si();
    }

    void call(Call c, int ranks, int per_domain, Pass& pass) {
        // A training step hides part of what tensor ranks exchange behind its products.
        const double exposed = training_ && per_domain == 0 ? device_.constant_or("tensor_exposed_fraction", 1) : 1;
        c.seconds = exposed * collective_time(device_, c.kind, c.bytes, ranks, per_domain);
        pass.network += c.times * c.seconds;
        if (c.seconds > 0) work_.calls.push_back(c);
    }

    const Graph& graph_;
    const Device& device_;
    const Mapping& mapping_;
    bool training_;
    double tokens_, gap_, prefill_gap_;
    std::optional<DType> type_;
    ModelWork work_;
};

}  // namespace

ModelWork model_work(const Graph& local, const Device& device, const Mapping& mapping) {
    return Reader(local, device, mapping).read();
}

double layer_seconds(const Device& device, const Pass& pass) {
    return std::max(pass.layers, pass.kernels * device.constant_or("host_launch_time", 0));
}

double repeated_seconds(const Device& device, const ModelWork& w, Mapping::Recompute recompute) {
    if (recompute == Mapping::Recompute::full) return layer_seconds(device, w.forward) + w.forward.network;
    return recompute == Mapping::Recompute::selective ? w.forward.attention : 0;
}

bool is_training(const Graph& graph) {
    return std::any_of(graph.ops().begin(), graph.ops().end(), [](const Op& op) { return op.kind == OpKind::adamw; });
}

}  // namespace wb::cluster
