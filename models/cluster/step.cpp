#include "models/cluster/step.hpp"

#include <algorithm>
#include <map>

#include "models/collective_time.hpp"
#include "models/operator_cost.hpp"

namespace wb::cluster {
namespace {

struct Phase {
    double compute = 0, network = 0, bytes = 0, flops = 0;
};

}  // namespace

Step cost(const Graph& local, const Device& device, int ranks, const std::string& algorithm) {
    Step step;
    std::map<std::string, Phase> phases;
    std::vector<std::string> order;
    const bool single = local.ops().size() == 1 && local.blocks().front().repeat == 1;
    const double gap = device.constant("gap_time");
    Share share;
    share.product_type = product_type(local);
    share.ready = true;
    share.searched = algorithm == "searched";
    for (const Block& block : local.blocks()) {
        if (!phases.contains(block.phase)) order.push_back(block.phase);
        Phase& phase = phases[block.phase];
        const double times = static_cast<double>(block.repeat);
        for (int i = block.first; i < block.last; ++i) {
            const Op& op = local.ops()[static_cast<std::size_t>(i)];
            if (op.kind == OpKind::collective) {
                const CollectiveKind kind = op.attributes.collective;
                const double buffer = std::max(local.bytes(op.in[0]), local.bytes(op.out[0])).si();
                phase.network += times * collective_time(device, kind, buffer, ranks, 0, algorithm);
                continue;
            }
            const Kernel k = kernel_of(device, local, op, share);
            phase.compute += times * (single ? alone(device, k) : k.time + gap);
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
