#include "models/collective_time.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.hpp"

namespace wb::cluster {
namespace {

double rate(const System& s, std::size_t level) {
    if (level >= s.fabrics.size() || !s.fabrics[level].bandwidth)
        throw Error({s.file, fmt::format("has no fabric with a bandwidth at level {}", level + 1),
                     "a collective over that many units cannot be timed", "Use fewer units."});
    return s.fabrics[level].bandwidth->value;
}

/// Latency steps of the textbook algorithm, as a tree or ring inside one domain takes them.
double steps(CollectiveKind kind, int ranks) {
    switch (kind) {
        case CollectiveKind::send_recv: return 1;
        case CollectiveKind::broadcast: return std::ceil(std::log2(ranks));
        case CollectiveKind::allreduce: return 2.0 * (ranks - 1);
        default: return ranks - 1.0;
    }
}

double inside(const Device& d, CollectiveKind kind, double bytes, int ranks) {
    const double f = traffic_factor(kind, ranks), wire = rate(d.system(), 0);
    const double launch = d.constant_or("collective_launch_time", d.constant("launch_time"));
    const double hops = steps(kind, ranks);
    const double small = hops * d.constant_or("small_hop_time", 1e-6) +
                         f * bytes / (d.constant_or("small_network_fraction", 0.1) * wire);
    const double large = hops * d.constant_or("large_hop_time", 4e-6) + d.constant_or("large_start_time", 0) +
                         f * bytes / (d.constant_or("network_fraction", 0.75) * wire);
    return launch + std::min(small, large);
}

}  // namespace

int domain_units(const System& s) {
    const Fabric* first = s.fabrics.empty() ? nullptr : &s.fabrics.front();
    return first && first->units ? static_cast<int>(first->units->value) : 1;
}

double traffic_factor(CollectiveKind kind, int ranks) {
    const double n = ranks;
    switch (kind) {
        case CollectiveKind::allreduce: return 2 * (n - 1) / n;
        case CollectiveKind::allgather:
        case CollectiveKind::reduce_scatter:
        case CollectiveKind::alltoall: return (n - 1) / n;
        default: return 1;
    }
}

double collective_time(const Device& d, CollectiveKind kind, double bytes, int ranks, int per_domain) {
    if (ranks <= 1) return 0;
    const int local = per_domain > 0 ? per_domain : domain_units(d.system());
    if (ranks <= local) return inside(d, kind, bytes, ranks);
    const double domains = std::ceil(static_cast<double>(ranks) / local), depth = std::log2(domains);
    const double wire = rate(d.system(), 1) * local;  // the ports of a whole domain carry its share together
    const double f = traffic_factor(kind, ranks);
    const double launch = d.constant_or("collective_launch_time", d.constant("launch_time"));
    return launch + depth * d.constant_or("node_hop_time", 45e-6) +
           f * bytes / (d.constant_or("node_network_fraction", 0.9) * wire) +
           d.constant_or("node_fill_fraction", 1) * std::sqrt(bytes * (1 + depth) / wire * 1e-6);
}

}  // namespace wb::cluster
