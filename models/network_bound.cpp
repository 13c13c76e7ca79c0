#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.hpp"
#include "core/units.hpp"
#include "models/bounds.hpp"
#include "models/mesh.hpp"

namespace wb {
namespace {

/// Groups of at most `size` units that a fabric joins; what passes between groups uses this fabric or an outer one.
struct Cut {
    double units, size, groups;
    double bandwidth;  // of one unit over this fabric and all outer ones, which may be used at once
    Seconds latency;
    bool reduces;  // the network may add
    std::string name;
};

/// Bytes that leave all groups together, over all ports, whatever the placement. `n` is the buffer of one unit.
///   allreduce      2 (g-1) n: every group but one sends its sum, every group but one is sent the result (Patarasu and
///                  Yuan 2009); where the network adds, each group still sends n.
///   allgather, reduce_scatter   (g-1) n: group j of s_j units lacks, or gives away, (p - s_j)/p n; the sum over j.
///   alltoall       sum of s_j (p - s_j)/p n, least where the groups are full.
///   broadcast, send_recv        n for one group, through its own ports alone: scaled up to all ports.
double leaving(CollectiveKind kind, double n, const Cut& c) {
    const double p = c.units;
    switch (kind) {
        case CollectiveKind::allreduce: return c.reduces ? c.groups * n : 2 * (c.groups - 1) * n;
        case CollectiveKind::allgather:
        case CollectiveKind::reduce_scatter: return (c.groups - 1) * n;
        case CollectiveKind::alltoall: {
            const double full = std::floor(p / c.size), rest = p - full * c.size;
            return n * (p - (full * c.size * c.size + rest * rest) / p);
        }
        case CollectiveKind::broadcast:
        case CollectiveKind::send_recv: return n * p / std::min(c.size, p - 1);
        case CollectiveKind::none: break;
    }
    return 0;
}

std::vector<Cut> cuts(const System& system, int units) {
    std::vector<Cut> out;
    double size = 1;
    for (std::size_t i = 0; i < system.fabrics.size() && size < units; ++i) {
        Cut c{static_cast<double>(units), size, std::ceil(units / size), 0, Seconds(0), false, system.fabrics[i].name};
        double latency = std::numeric_limits<double>::infinity();
        for (std::size_t j = i; j < system.fabrics.size(); ++j) {
            const Fabric& f = system.fabrics[j];
            // A unit's own rail is never shared, and neighbours can hand over what is for others.
            const bool rails = f.topology == "rail_optimised";
            const double shared = f.oversubscription && !rails ? std::max(1.0, f.oversubscription->value) : 1;
            c.bandwidth += f.bandwidth ? f.bandwidth->value / shared : std::numeric_limits<double>::infinity();
            c.reduces = c.reduces || f.in_network_reduction;
            latency = std::min(latency, f.latency ? f.latency->value : 0.0);
        }
        c.latency = Seconds(latency);
        out.push_back(c);
        size = system.fabrics[i].units ? std::max(size, system.fabrics[i].units->value) : units;
    }
    return out;
}

/// Among the PEs of one wafer, each with a buffer of n bytes: what one PE takes in or gives away passes its ramp, one
/// wavelet of 4 bytes a cycle, and no word is faster than its way: from corner to corner where every PE needs something
/// of every other, from the middle outwards for a broadcast, to a neighbour for a message.
Limit mesh_limit(CollectiveKind kind, double n, const Mesh& m) {
    const double pes = static_cast<double>(m.rows) * m.columns;
    double hops = m.rows - 1 + m.columns - 1, through_ramp = n * (pes - 1) / pes;
    if (kind == CollectiveKind::broadcast) hops = m.rows / 2 + m.columns / 2;
    if (kind == CollectiveKind::send_recv) hops = 1;
    if (kind == CollectiveKind::allreduce || kind == CollectiveKind::broadcast || kind == CollectiveKind::send_recv)
        through_ramp = n;
    const Seconds way((hops * m.hop_cycles) / m.clock_hz);
    const BytesPerSecond ramp(4 * m.clock_hz);
    return {way + Bytes(through_ramp) / ramp, Flops(0), Bytes(through_ramp * pes),
            fmt::format("{} hops in {}, {} through each ramp at {}", hops, format(way), format(Bytes(through_ramp)),
                        format(ramp))};
}

}  // namespace

Limit network_limit(const Graph& graph, const System& system, int units, const Mapping& mapping) {
    WB_EXPECT(units >= 1);
    Limit limit;
    for (const Op& op : graph.ops()) {
        if (op.kind != OpKind::collective) continue;
        const double n = graph.bytes(op.in[0]).si();
        if (units == 1 && system.kind == SystemKind::wafer) {
            Mesh mesh = mesh_of(system);
            if (mapping.rows > 0) mesh.rows = mapping.rows, mesh.columns = mapping.columns;
            limit = mesh_limit(op.attributes.collective, n, mesh);
        }
        for (const Cut& c : cuts(system, units)) {
            const Bytes bytes(leaving(op.attributes.collective, n, c));
            const BytesPerSecond rate(c.bandwidth * units);
            const Seconds t = bytes / rate + c.latency;
            if (t <= limit.time) continue;
            const std::string port = std::isfinite(rate.si()) ? "at " + format(rate) : "and " + format(c.latency);
            limit = {t, Flops(0), bytes, fmt::format("{} over {} or beyond {}", format(bytes), c.name, port)};
        }
    }
    return limit;
}

}  // namespace wb
