#include "models/collective_time.hpp"
#include "models/emulation/machine.hpp"

namespace wb::emulation {

/// Forced: rings in every domain, shards by halving and doubling between them, rings back; each message at its cost.
std::vector<Play> Machine::hierarchical(const Step& step, int n, int local) const {
    const Way way = fastest(step, "hierarchical", n);
    std::vector<Play> out = across(step, n, local);
    for (Play& p : out) {
        const std::size_t level = p.inside > 0 ? 0 : way.links.size() - 1;
        const cluster::Link& link = way.links[level];
        p.time = 0;
        p.wire = level > 0 ? far_wire(link, step.exposed) : wire({0, link.hop, 1 / link.rate}, 0, step.exposed);
    }
    out.front().time = before(way, step.exposed);
    return out;
}

/// Forced: rings in every group, shards straight to all other groups, rings back.
std::vector<Play> Machine::dragonfly(const Step& step, int n, int local) const {
    const Way way = fastest(step, "dragonfly", n);
    std::vector<Play> out;
    const auto add = [&](CollectiveKind kind, bool inside) {
        Play p = begun(step);
        const cluster::Link& link = inside ? way.links.front() : way.links.back();
        p.wire = inside ? wire({0, link.hop, 1 / link.rate}, 0, step.exposed) : far_wire(link, step.exposed);
        p.collective =
            inside ? collective_of(kind, Algorithm::ring, local) : collective_of(kind, Algorithm::direct, n / local);
        (inside ? p.inside : p.skip) = local;
        if (!inside) p.shards = local;
        out.push_back(std::move(p));
    };
    for (const CollectiveKind kind : {CollectiveKind::reduce_scatter, CollectiveKind::allgather}) {
        if (step.operation != kind && step.operation != CollectiveKind::allreduce) continue;
        const bool scatters = kind == CollectiveKind::reduce_scatter;
        add(kind, scatters);
        add(kind, !scatters);
    }
    out.front().time = before(way, step.exposed);
    return out;
}

}  // namespace wb::emulation
