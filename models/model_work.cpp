#include "models/model_work.hpp"

#include <algorithm>
#include <set>

#include "models/collective_time.hpp"
#include "models/operator_cost.hpp"

namespace wb::cluster {
namespace {

bool is_vector(OpKind kind) {
    return kind != OpKind::matmul && kind != OpKind::grouped_matmul && kind != OpKind::head_matmul &&
           kind != OpKind::attention && kind != OpKind::attention_backward;
}

/// The type products run in. Quantised training takes the 8-bit type the unit multiplies, whatever the graph calls it.
std::optional<DType> multiplied_type(const Device& d, const Graph& g, bool training) {
    const std::optional<DType> type = product_type(g);
    const auto& peaks = d.system().peak;
    if (training && type && bits(*type) == 8 && !peaks.contains(*type) && peaks.contains(DType::int8))
        return DType::int8;
    return type;
}

bool has_loss(const Graph& g) {
    return std::any_of(g.ops().begin(), g.ops().end(), [](const Op& op) { return op.kind == OpKind::cross_entropy; });
}

double held_experts(const Graph& g, const Mapping& m) {
    double experts = 0;
    for (const Op& op : g.ops()) experts = std::max(experts, static_cast<double>(op.attributes.experts));
    return experts / m.expert;
}

class Reader {
public:
    Reader(const Graph& g, const Device& d, const Mapping& m)
        : graph_(g),
          device_(d),
          mapping_(m),
          training_(is_training(g)),
          job_(training_ || (has_loss(g) && !d.has("fused_memory_fraction"))),
          tokens_(1.0 / (static_cast<double>(m.data) * m.context * m.expert * m.microbatches)),
          gap_(d.constant("gap_time")),
          prefill_gap_(d.constant_or("prefill_gap_time", gap_)),
          unfused_(d.constant_or("attention_score_passes", 0) > 0),
          dataflow_(!job_ && d.has("fused_memory_fraction")),
          sustained_(d.constant_or("sustained_fraction", 1)),
          expert_launches_(held_experts(g, m) * d.constant_or("expert_launch_time", 0)),
          expert_casts_(expert_launches_ * d.constant_or("expert_cast_launches", 1)),
          type_(multiplied_type(d, g, job_)) {}

    ModelWork read() {
        weights();
        for (const Block& block : graph_.blocks()) {
            closing_ = 0;
            for (int i = block.first; i < block.last; ++i) add(block, graph_.ops()[static_cast<std::size_t>(i)]);
            if (block.phase == "forward") work_.forward.closing += closing_;
            if (dataflow_) add_fused(block);
        }
        for (const Block& block : graph_.blocks())
            if (block.repeat > 1 && !block.carries.empty()) {
                work_.boundary_bytes = tokens_ * kept(block.carries.front().in);
                break;
            }
        return work_;
    }

private:
    void weights() {
        for (const Op& op : graph_.ops()) {
            if (op.kind == OpKind::adamw) trained_.insert(op.in[0]);
            if (op.kind == OpKind::layernorm || op.kind == OpKind::rmsnorm) normed_.insert(op.out[0]);
        }
        for (std::size_t i = 0; i < graph_.tensors().size(); ++i) {
            const Tensor& t = graph_.tensors()[i];
            if (t.role != Role::weight) continue;
            const bool expert = t.shape.size() == 3;  // [experts, in, out]
            const double bytes = static_cast<double>(graph_.instances(tensor_id(i))) * graph_.bytes(tensor_id(i)).si();
            (expert ? work_.expert_weight_bytes : work_.weight_bytes) += bytes / (expert ? mapping_.expert : 1);
        }
    }

    double kept(TensorId id) const { return kept_bytes(graph_, id, training_); }

    void add(const Block& block, const Op& op) {
        const double times = static_cast<double>(block.repeat);
        if (op.kind == OpKind::adamw) {
            const bool expert = graph_.tensor(op.in[0]).shape.size() == 3;  // [experts, in, out]
            const double held = expert ? 1.0 / mapping_.expert : 1;
            const Kernel k = kernel_of(device_, graph_, op);
            work_.update += times * (held * k.time + gap_);
            work_.update_bytes += times * held * k.bytes;
            const double width =
                std::max(2.0, bits(graph_.tensor(op.in[1]).dtype) / 8.0);  // at least 16 bits are summed
            (expert ? work_.expert_bytes : work_.parameter_bytes) +=
                times * held * width * static_cast<double>(graph_.elements(op.in[1]));
            return;
        }
        const bool backward = training_ && block.phase != "forward";
        Pass& pass = backward ? work_.backward : work_.forward;
        if (op.kind == OpKind::collective) {
            const double bytes = tokens_ * kept(op.in[0]);
            work_.collective_bytes += times * bytes;
            call({op.attributes.collective, Axis::tensor, bytes, times, 0, backward}, mapping_.tensor, 0, pass);
            return;
        }
        if (op.kind == OpKind::moe_dispatch || op.kind == OpKind::moe_combine ||
            op.kind == OpKind::moe_combine_backward) {  // tokens travel to the units that hold their experts, and back
            const double bytes = tokens_ * std::max(kept(op.in[0]), kept(op.out[0]));
            call({CollectiveKind::alltoall, Axis::expert, bytes, times, 0, backward}, mapping_.expert,
                 std::max(1, domain_units(device_.system()) / mapping_.tensor), pass);
        }
        // What stands before and after the layers keeps its precision.
        const bool rounded = !job_ || (block.repeat > 1 && !op.attributes.adapter);
        if (rounded) casts(op, times, pass);
        const bool serving = block.phase == "prefill" || block.phase == "decode";
        Kernel k = kernel_of(
            device_, graph_, op,
            {tokens_, static_cast<double>(mapping_.expert), rounded ? type_ : std::nullopt, false, serving, job_});
        if (job_ && op.kind == OpKind::grouped_matmul) pass.layers += times * expert_launches_;
        if (job_ && !is_vector(op.kind) && !(rounded && type_ && bits(*type_) <= 8)) k.time /= sustained_;
        if (mapping_.sequence_parallel && is_vector(op.kind)) k.time *= op.attributes.share;
        const double gap = block.phase == "prefill" ? prefill_gap_ : gap_;  // prompts are of any length: no CUDA graph
        if (dataflow_) {
            fused_.arithmetic += k.arithmetic;
            fused_.stored += k.stored;
            fused_.experts |= op.kind == OpKind::grouped_matmul;
        } else {
            (block.repeat > 1 ? pass.layers : pass.ends) += times * (k.time + gap);
            if (block.repeat > 1 && !is_vector(op.kind)) closing_ = times * (k.time + gap);
        }
        if (job_ && block.repeat > 1) pass.kernels += times;  // an inference replays a graph of launches
        if (is_light(op.kind) && block.repeat > 1 && !unfused_) pass.light += times * (k.time + gap_);
        if (op.kind == OpKind::attention) add_attention(op, times, times * (k.time + gap), pass);
    }

    /// A layer that is one kernel: every operator is a stage of it with units of its own, what stages hand on never
    /// leaves the chip, and the calls between units are stages too (Prabhakar et al. 2024, section 4). The slowest of
    /// arithmetic, reading of weights and caches, and calls is its time, and from layer to layer all stages wait.
    void add_fused(const Block& block) {
        const double rate = device_.constant("fused_memory_fraction") * device_.memory_rate();
        const double times = static_cast<double>(block.repeat);
        const double time = std::max(fused_.arithmetic, fused_.stored / rate);
        double wait = block.repeat > 1 ? device_.constant_or("fused_layer_time", 0) : 0;
        if (fused_.experts) wait += device_.constant_or("fused_expert_time", 0);
        (block.repeat > 1 ? work_.forward.layers : work_.forward.ends) += times * (time + wait);
        work_.forward.network += times * std::max(0.0, fused_.network - time);
        fused_ = {};
    }

    /// 8-bit recipes round what the products of a layer read, once for each value: it is read, and written along its
    /// rows, and along its columns where the gradient of the weight will need it (Micikevicius et al. 2022). Norms
    /// write both themselves.
    void casts(const Op& op, double times, Pass& pass) {
        if (!job_ || !type_ || bits(*type_) > 8) return;
        if (op.kind != OpKind::matmul && op.kind != OpKind::grouped_matmul) return;
        for (std::size_t i = 0; i < 2; ++i) {
            const Tensor& t = graph_.tensor(op.in[i]);
            if (t.role == Role::weight || normed_.contains(op.in[i]) || !cast_.insert(op.in[i]).second) continue;
            const bool frozen = graph_.tensor(op.in[1]).role == Role::weight && !trained_.contains(op.in[1]);
            const double copies = 1 + (frozen ? 1.0 : 2.0) * bits(*type_) / std::max(16, bits(t.dtype));
            const Kernel k = moving(device_, "elementwise", tokens_ * copies * kept(op.in[i]));
            pass.layers += times * (k.time + gap_);
            pass.kernels += times;
            if (op.kind == OpKind::grouped_matmul) pass.layers += times * expert_casts_;
        }
    }

    void add_attention(const Op& op, double times, double seconds, Pass& pass) {
        pass.attention += seconds;
        work_.attention_layers += times;
        work_.key_value_bytes = tokens_ * (kept(op.in[1]) + kept(op.in[2]));
    }

    void call(Call c, int ranks, int per_domain, Pass& pass) {
        // A training step hides part of what tensor ranks exchange behind its products.
        const double exposed = job_ && per_domain == 0 ? device_.constant_or("tensor_exposed_fraction", 1) : 1;
        c.seconds = exposed * collective_time(device_, c.kind, c.bytes, ranks, per_domain);
        if (dataflow_) {  // what an empty call takes, its layer waits for already
            c.seconds -= collective_time(device_, c.kind, 1, ranks, per_domain);
            fused_.network += c.seconds;
            return;
        }
        pass.network += c.times * c.seconds;
        if (c.seconds > 0) work_.calls.push_back(c);
    }

    const Graph& graph_;
    const Device& device_;
    const Mapping& mapping_;
    bool training_, job_;  ///< job: a training step, or, unless layers are fused, the held-out loss of one
    double tokens_, gap_, prefill_gap_;
    bool unfused_, dataflow_;  ///< dataflow: the layers of an inference are one kernel each
    double sustained_;         ///< speed of 16-bit products in a step, where power runs short, over that of single ones
    double expert_launches_;   ///< s of a kernel that is launched expert by expert once their tokens are counted
    double expert_casts_;  ///< the same of rounding their tokens, which scales of a whole tensor make several kernels
    struct {
        double arithmetic = 0, stored = 0, network = 0;
        bool experts = false;
    } fused_;             ///< one layer so far: s, bytes, s
    double closing_ = 0;  ///< of the last product of the block at hand
    std::optional<DType> type_;
    std::set<TensorId> cast_, trained_, normed_;
    ModelWork work_;
};

}  // namespace

ModelWork model_work(const Graph& local, const Device& device, const Mapping& mapping) {
    return Reader(local, device, mapping).read();
}

double layer_seconds(double launch, const Pass& pass) { return std::max(pass.layers, pass.kernels * launch); }
double layer_seconds(const Device& device, const Pass& pass) {
    return layer_seconds(device.constant_or("host_launch_time", 0), pass);
}

double repeated_seconds(const Device& device, const ModelWork& w, const Mapping& m) {
    return repeated_seconds(device.constant_or("host_launch_time", 0), w, m);
}
double repeated_seconds(double launch, const ModelWork& w, const Mapping& m) {
    if (m.recompute == Mapping::Recompute::full)
        return layer_seconds(launch, w.forward) + w.forward.network -
               (m.algorithm == "early-stop" ? w.forward.closing : 0);
    return m.recompute == Mapping::Recompute::selective ? w.forward.attention + w.forward.light : 0;
}

bool is_light(OpKind kind) {
    return kind == OpKind::layernorm || kind == OpKind::rmsnorm || kind == OpKind::gelu || kind == OpKind::silu_mul;
}

double ring_exposed(const ModelWork& w, double seconds, double least) {
    constexpr double passes = 3.5;  // of attention, forward and backward, in those of the forward pass
    return seconds > 0 ? std::max(least, 1 - passes * w.forward.attention / seconds) : 1;
}

bool is_training(const Graph& graph) {
    return std::any_of(graph.ops().begin(), graph.ops().end(), [](const Op& op) { return op.kind == OpKind::adamw; });
}

}  // namespace wb::cluster
