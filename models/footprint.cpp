#include "models/footprint.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/memory_plan.hpp"
#include "core/units.hpp"
#include "models/model_work.hpp"
#include "models/offload.hpp"

namespace wb::cluster {
namespace {

constexpr double score_bytes = 5;  // softmax 2, its mask 1, the dropped softmax 2
constexpr double mask_bytes = 2;   // after attention and after the MLP, 1 each
constexpr double chunk = 8192;     // tokens an inference engine takes at once (default of TensorRT-LLM, max_num_tokens)

class Reader {
public:
    Reader(const Partition& part, const Device& device) : g_(part.local), pieces_(part.pieces) {
        out_.training = is_training(g_);
        unfused_ = device.constant_or("attention_score_passes", 0) > 0;
    }

    ModelMemory read() {
        for (std::size_t i = 0; i < g_.tensors().size(); ++i) parameters(tensor_id(i));
        for (const Block& block : g_.blocks())
            for (int i = block.first; i < block.last; ++i) {
                const Op& op = g_.ops()[static_cast<std::size_t>(i)];
                if (op.kind == OpKind::adamw) update(op);
                if (op.kind == OpKind::attention) attention(block, op);
            }
        const MemoryPlan plan = plan_memory(g_);
        if (out_.training)
            kept(plan);
        else
            working(plan.activations.si());
        return out_;
    }

private:
    bool in_layers(TensorId id) const { return g_.instances(id) > 1; }
    bool before_layers(TensorId id) const {
        for (const Op& op : g_.ops())
            if ((op.kind == OpKind::embed || op.kind == OpKind::position_embed) && op.in[1] == id) return true;
        return false;
    }
    double bytes(TensorId id) const { return static_cast<double>(g_.instances(id)) * g_.bytes(id).si(); }

    ModelMemory::Parameters& of(TensorId weight) {
        if (g_.tensor(weight).shape.size() == 3 && in_layers(weight)) return out_.experts;
        if (in_layers(weight)) return out_.layers;
        return before_layers(weight) ? out_.first : out_.last;
    }

    void parameters(TensorId id) {
        const Role role = g_.tensor(id).role;
        if (role == Role::weight) of(id).weights += bytes(id);
        if (role == Role::state && !out_.training) out_.cache += bytes(id);
    }

    void update(const Op& op) {
        ModelMemory::Parameters& p = of(op.in[0]);
        const double count = static_cast<double>(g_.instances(op.in[0]) * g_.elements(op.in[0]));
        p.gradients += count * std::max(4.0, bits(g_.tensor(op.in[0]).dtype) / 8.0);
        for (std::size_t i = 2; i < op.in.size(); ++i) p.optimizer += bytes(op.in[i]);
    }

    void attention(const Block& block, const Op& op) {
        const Attributes& a = op.attributes;
        const double times = static_cast<double>(block.repeat);
        out_.layers_count += times;
        if (!unfused_ || !out_.training) return;
        out_.scores +=
            times * score_bytes * static_cast<double>(a.batch * a.heads * a.seq) * static_cast<double>(a.seq_kv);
        if (block.carries.empty()) return;
        out_.kept_whole += times * mask_bytes * static_cast<double>(g_.elements(block.carries.front().in));
    }

    void working(double all_tokens) {
        double tokens = 1;
        for (const Op& op : g_.ops())
            if (op.kind == OpKind::attention) tokens = static_cast<double>(op.attributes.batch * op.attributes.seq);
        out_.working = all_tokens * std::min(1.0, chunk / tokens);
    }

    /// Values of the forward pass that another block reads: an instance for every layer.
    void kept(const MemoryPlan& plan) {
        std::set<TensorId> carried;
        for (const Block& b : g_.blocks())
            for (const Carry& c : b.carries)
                if (b.phase == "forward") carried.insert(c.out);
        const std::set<TensorId> light = unfused_ ? std::set<TensorId>{} : light_values();
        for (std::size_t i = 0; i < plan.places.size(); ++i) {
            const Tensor& t = g_.tensors()[i];
            const MemoryPlan::Place& p = plan.places[i];
            if (!p.stored || t.role != Role::activation || t.block < 0) continue;
            const Block& block = g_.blocks()[static_cast<std::size_t>(t.block)];
            if (block.phase != "forward") continue;
            if (block.repeat == 1) {
                out_.ends += bytes(tensor_id(i));
                continue;
            }
            if (p.slots != block.repeat) continue;  // gone with its layer
            (cut(i) ? out_.kept_cut : out_.kept_whole) += bytes(tensor_id(i));
            if (light.contains(tensor_id(i))) (cut(i) ? out_.light_cut : out_.light_whole) += bytes(tensor_id(i));
            if (carried.contains(tensor_id(i))) out_.inputs += bytes(tensor_id(i));
        }
    }

    /// What is made from values that are kept, without a product with weights.
    std::set<TensorId> light_values() const {
        std::set<TensorId> out;
        for (const Op& op : g_.ops())
            if (is_light(op.kind) || op.kind == OpKind::attention) out.insert(op.out[0]);
        return out;
    }

    bool cut(std::size_t i) const { return i < pieces_.size() && pieces_[i].layout.kind != Layout::Kind::replicated; }

    const Graph& g_;
    const std::vector<Partition::Piece>& pieces_;
    bool unfused_ = false;
    ModelMemory out_;
};

/// What replicas share of it.
ModelMemory::Parameters shared(ModelMemory::Parameters p, int shard, double replicas) {
    if (shard >= 1) p.optimizer /= replicas;
    if (shard >= 2) p.gradients /= replicas;
    if (shard >= 3) p.weights /= replicas;
    return p;
}

/// Leaves on the unit what it holds in a step that offloads; `host` gets the rest. Gradients that leave with every
/// microbatch are summed there, others come once.
ModelMemory::Parameters kept_on_unit(const ModelMemory::Parameters& all, const Mapping& m,
                                     ModelMemory::Parameters& host) {
    const double replicas = static_cast<double>(m.data) * m.context * m.expert;
    host.optimizer += all.optimizer;
    host.gradients += m.shard == 1 ? all.gradients / replicas : all.gradients;
    return {all.weights, gradients_leave(m) ? 0 : all.gradients, 0};
}

/// Moves to the host what a mapping offloads, from a stage's layers and a pipeline's heavier end.
void offload_parameters(Footprint& f, const ModelMemory::Parameters& first, const ModelMemory::Parameters& last,
                        const ModelMemory& memory, const Mapping& m) {
    ModelMemory::Parameters host;
    const ModelMemory::Parameters kept = kept_on_unit({f.weights, f.gradients, f.optimizer}, m, host);
    f.gradients = kept.gradients;
    f.optimizer = 0;
    if (m.pipeline > 1) {
        ModelMemory::Parameters ends[2];
        f.ends = std::max(kept_on_unit(first, m, ends[0]).total(), kept_on_unit(last, m, ends[1]).total());
        const auto& heavier = ends[0].total() > ends[1].total() ? ends[0] : ends[1];
        host.gradients += heavier.gradients;
        host.optimizer += heavier.optimizer;
    }
    f.host_gradients = host.gradients;
    f.host_optimizer = host.optimizer;
    if (gradients_leave(m))  // two layers' in 16 bits: one is made while the other is on its way
        f.buffers +=
            (memory.layers.gradients + memory.experts.gradients / m.expert) / std::max(1.0, memory.layers_count);
}

}  // namespace

ModelMemory model_memory(const Partition& part, const Device& device) { return Reader(part, device).read(); }

double microbatches_in_flight(const Mapping& m) {
    const double pp = m.pipeline, mb = m.microbatches, vp = m.virtual_stages;
    if (m.algorithm == "gpipe") return mb;
    if (m.virtual_stages == 1) return std::min(mb, pp);
    return std::min(mb, pp + (pp - 1) / vp);
}

Footprint footprint(const ModelMemory& memory, const Mapping& m) {
    const double pp = m.pipeline, dense = static_cast<double>(m.data) * m.context * m.expert;
    const double tokens = 1 / dense, sp = m.sequence_parallel ? 1.0 / m.tensor : 1;
    const ModelMemory::Parameters layers = shared(memory.layers, m.shard, dense),
                                  experts = shared(memory.experts, m.shard, dense / m.expert),
                                  first = shared(memory.first, m.shard, dense),
                                  last = shared(memory.last, m.shard, dense);
    Footprint f;
    f.weights = (layers.weights + experts.weights / m.expert) / pp;
    f.gradients = (layers.gradients + experts.gradients / m.expert) / pp;
    f.optimizer = (layers.optimizer + experts.optimizer / m.expert) / pp;
    if (m.pipeline == 1) {
        f.weights += first.weights + last.weights;
        f.gradients += first.gradients + last.gradients;
        f.optimizer += first.optimizer + last.optimizer;
    } else {
        f.ends = std::max(first.total(), last.total());
    }
    if (m.offload) offload_parameters(f, first, last, memory, m);
    if (m.shard == 3)  // the layer at work and the one fetched ahead
        f.buffers +=
            2 * (memory.layers.weights + memory.experts.weights / m.expert) / std::max(1.0, memory.layers_count);
    f.cache = memory.cache * tokens * m.context / pp;
    const double part = tokens / m.microbatches;
    if (!memory.training) {
        f.buffers += memory.working * part;
        return f;
    }
    const double whole = (memory.kept_cut + memory.kept_whole * sp) * part;
    const double flight = microbatches_in_flight(m) / pp;
    const double scores = memory.scores * part;
    const double layer = (whole + scores) / std::max(1.0, memory.layers_count);
    using Recompute = Mapping::Recompute;
    if (m.recompute == Recompute::none) f.activations = flight * (whole + scores);
    const double light = (memory.light_cut + memory.light_whole * sp) * part;
    if (m.recompute == Recompute::selective) f.activations = flight * (whole - light);
    if (m.recompute == Recompute::full) f.activations = flight * memory.inputs * part * sp;
    if (m.recompute == Recompute::full) f.buffers += layer;  // the layer being recomputed
    if (m.recompute == Recompute::selective) f.buffers += (scores + light) / std::max(1.0, memory.layers_count);
    f.loss = memory.ends * part;
    return f;
}

namespace {

struct Row {
    const char* name;
    double Footprint::*bytes;
};
constexpr Row rows[] = {{"weights", &Footprint::weights},
                        {"gradients", &Footprint::gradients},
                        {"optimizer", &Footprint::optimizer},
                        {"embedding or head", &Footprint::ends},
                        {"activations", &Footprint::activations},
                        {"loss", &Footprint::loss},
                        {"cache", &Footprint::cache},
                        {"buffers", &Footprint::buffers}};
constexpr Row host_rows[] = {{"host gradients", &Footprint::host_gradients},
                             {"host optimizer", &Footprint::host_optimizer}};

}  // namespace

Footprint blend(const Footprint& a, const Footprint& b, double of_b) {
    Footprint out = a;
    for (const Row& row : rows) out.*row.bytes += of_b * (b.*row.bytes - a.*row.bytes);
    for (const Row& row : host_rows) out.*row.bytes += of_b * (b.*row.bytes - a.*row.bytes);
    return out;
}

std::vector<MemoryUse> Footprint::levels(double capacity, double host) const {
    std::vector<MemoryUse> out;
    for (const Row& row : rows)
        if (this->*row.bytes > 0) out.push_back({row.name, Bytes(capacity), Bytes(this->*row.bytes), Bytes(0)});
    for (const Row& row : host_rows)
        if (this->*row.bytes > 0) out.push_back({row.name, Bytes(host), Bytes(this->*row.bytes), Bytes(0)});
    return out;
}

std::string Footprint::text() const {
    std::string parts;
    for (const Row& row : rows)
        if (this->*row.bytes > 0)
            parts += fmt::format("{}{} {}", parts.empty() ? "" : ", ", row.name, format(Bytes(this->*row.bytes)));
    for (const Row& row : host_rows)
        if (this->*row.bytes > 0) parts += fmt::format(", {} {}", row.name, format(Bytes(this->*row.bytes)));
    return fmt::format("{}: {}", format(Bytes(total())), parts);
}

double unit_capacity(const System& system) {
    constexpr double smallest_main = 4e9;  // the first level that holds gigabytes, as in Device
    for (const Memory& m : system.memories)
        if (m.capacity && m.capacity->value >= smallest_main) return m.capacity->value;
    return system.memories.empty() || !system.memories.back().capacity ? 0 : system.memories.back().capacity->value;
}

}  // namespace wb::cluster
