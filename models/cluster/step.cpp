#include "models/cluster/step.hpp"

#include <algorithm>
#include <map>

#include "models/cluster/kernel.hpp"
#include "models/cluster/network.hpp"

namespace wb::cluster {
namespace {

double extent(const Graph& g, TensorId id, int from_end) {
    const Shape& s = g.tensor(id).shape;
    return static_cast<double>(s.at(s.size() - static_cast<std::size_t>(from_end)));
}

double bytes_of(const Graph& g, const Op& op) {
    double sum = 0;
    for (TensorId id : op.in) sum += g.bytes(id).si();
    for (TensorId id : op.out) sum += g.bytes(id).si();
    return sum;
}

Product product_of(const Graph& g, const Op& op) {
    const Attributes& a = op.attributes;
    Product p;
    p.a = g.tensor(op.in[0]).dtype;
    p.b = g.tensor(op.in[1]).dtype;
    p.c = g.tensor(op.out[0]).dtype;
    p.m = extent(g, op.in[0], a.trans_a ? 1 : 2);
    p.k = extent(g, op.in[0], a.trans_a ? 2 : 1);
    p.n = extent(g, op.in[1], a.trans_b ? 2 : 1);
    p.groups = static_cast<double>(g.elements(op.in[0])) / (p.m * p.k);
    p.shared_b = g.elements(op.in[1]) <= static_cast<std::int64_t>(p.k * p.n);
    return p;
}

/// Rows are dealt evenly: expert e of E multiplies its tokens by a matrix of its own.
Product grouped_of(const Graph& g, const Op& op) {
    Product p = product_of(g, op);
    const double experts = op.attributes.experts > 0 ? static_cast<double>(op.attributes.experts) : 1;
    const double rows = extent(g, op.in[0], 2);
    if (op.attributes.trans_a) {  // gradient of the matrices: the tokens are what is summed over
        p.m = extent(g, op.in[0], 1);
        p.k = std::max(1.0, rows / experts);
        p.n = extent(g, op.in[1], 1);
        p.groups = experts;
    } else {
        p.groups = std::min(experts, rows);
        p.m = rows / p.groups;
    }
    p.shared_b = false;
    return p;
}

/// x [t, heads * k] times w [heads, k, n].
Product heads_of(const Graph& g, const Op& op) {
    Product p = product_of(g, op);
    p.groups = extent(g, op.in[1], 3);
    p.m = extent(g, op.in[0], 2);
    p.k = extent(g, op.in[1], 2);
    p.n = extent(g, op.in[1], 1);
    p.shared_b = false;
    return p;
}

Kernel table(const Device& d, const Graph& g, const Op& op) {
    // Only the rows that are looked up move, not the table.
    double bytes = 0;
    for (TensorId id : op.out) bytes += 2 * g.bytes(id).si();
    if (op.kind == OpKind::embed_backward || op.kind == OpKind::position_embed_backward)
        bytes = 3 * g.bytes(op.in[0]).si();
    return moving(d, "gather", bytes);
}

Kernel kernel(const Device& d, const Graph& g, const Op& op) {
    using enum OpKind;
    switch (op.kind) {
        case matmul: return product(d, product_of(g, op));
        case grouped_matmul: return product(d, grouped_of(g, op));
        case head_matmul: return product(d, heads_of(g, op));
        case OpKind::attention: return cluster::attention(d, op.attributes, g.tensor(op.in[0]).dtype, false);
        case attention_backward: return cluster::attention(d, op.attributes, g.tensor(op.in[1]).dtype, true);
        case layernorm:
        case layernorm_backward:
        case rmsnorm:
        case rmsnorm_backward: return moving(d, "norm", bytes_of(g, op));
        case softmax:
        case softmax_backward:
        case cross_entropy:
        case cross_entropy_backward: return moving(d, "softmax", bytes_of(g, op));
        case embed:
        case embed_backward:
        case position_embed:
        case position_embed_backward:
        case last_rows:
        case last_rows_backward: return table(d, g, op);
        case cache_write: return moving(d, "gather", 2 * g.bytes(op.in[1]).si());
        case adamw: return moving(d, "optimizer", bytes_of(g, op));
        default: return moving(d, "elementwise", bytes_of(g, op));
    }
}

struct Phase {
    double compute = 0, network = 0, bytes = 0, flops = 0;
};

}  // namespace

Step cost(const Graph& local, const Device& device, int ranks) {
    Step step;
    std::map<std::string, Phase> phases;
    std::vector<std::string> order;
    const bool single = local.ops().size() == 1 && local.blocks().front().repeat == 1;
    const double floor = single ? device.constant("launch_time") : device.constant("gap_time");
    for (const Block& block : local.blocks()) {
        if (!phases.contains(block.phase)) order.push_back(block.phase);
        Phase& phase = phases[block.phase];
        const double times = static_cast<double>(block.repeat);
        for (int i = block.first; i < block.last; ++i) {
            const Op& op = local.ops()[static_cast<std::size_t>(i)];
            if (op.kind == OpKind::collective) {
                const CollectiveKind kind = op.attributes.collective;
                const double buffer = std::max(local.bytes(op.in[0]), local.bytes(op.out[0])).si();
                phase.network += times * collective_time(device, kind, buffer, ranks);
                continue;
            }
            const Kernel k = kernel(device, local, op);
            phase.compute += times * (k.time + floor);
            phase.bytes += times * k.bytes;
            phase.flops += times * k.flops;
        }
    }
    for (const std::string& name : order) {
        const Phase& p = phases[name];
        if (p.compute > 0)
            step.spans.push_back(
                {-1, "compute", name, Seconds(step.time), Seconds(p.compute), Bytes(p.bytes), Flops(p.flops)});
        if (p.network > 0)
            step.spans.push_back(
                {-1, "network", name, Seconds(step.time + p.compute), Seconds(p.network), Bytes(0), Flops(0)});
        step.time += p.compute + p.network;
        step.communication += p.network;
        step.bytes += p.bytes;
        step.flops += p.flops;
    }
    return step;
}

}  // namespace wb::cluster
