#include "models/wafer/between.hpp"

namespace wb::wafer {
namespace {

/// Bytes that one wafer sends, and messages that wait for one another.
struct Traffic {
    double bytes = 0, rounds = 1;
};

Traffic traffic(CollectiveKind kind, double n, double p, bool in_network) {
    switch (kind) {
        case CollectiveKind::allreduce: return in_network ? Traffic{n, 2} : Traffic{2 * n * (p - 1) / p, 2 * (p - 1)};
        case CollectiveKind::allgather:
        case CollectiveKind::reduce_scatter:
        case CollectiveKind::alltoall: return {n * (p - 1) / p, p - 1};
        default: return {n, 1};
    }
}

}  // namespace

Placement between_wafers(const Machine& m, const Request& r) {
    const Op& op = r.graph.ops().front();
    const double n = r.graph.bytes(op.in[0]).si();
    const Machine::Way& way = m.way(r.wafers);
    const Traffic t = traffic(op.attributes.collective, n, r.wafers, way.adds);
    Placement p;
    p.grid = m.whole();
    p.algorithm = way.adds ? "in the network" : "ring";
    p.io_bytes = t.bytes;
    p.sram_bytes = n / m.whole().pes();
    p.between = way.latency * t.rounds + Bytes(t.bytes) / way.link;
    Span s;
    s.resource = "wafer to wafer";
    s.phase = r.graph.blocks().front().phase;
    s.op = 0;
    s.duration = p.between;
    s.bytes = Bytes(t.bytes);
    p.spans.push_back(s);
    p.time = p.between;
    p.limit = "wafer to wafer";
    return p;
}

}  // namespace wb::wafer
