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

/// What a protocol loses while its pipeline fills, seconds: grows with the root of what is sent.
double filling(const Device& d, const char* key, double sent, double wire, double fallback) {
    return d.constant_or(key, fallback) * std::sqrt(sent / wire * 1e-6);
}

double launch_of(const Device& d) { return d.constant_or("collective_launch_time", d.constant("launch_time")); }

/// A ring: the faster of a protocol of few steps' latency and one of full bandwidth (NCCL's LL and Simple).
double ring(const Device& d, CollectiveKind kind, double bytes, int ranks) {
    const double wire = rate(d.system(), 0), sent = traffic_factor(kind, ranks) * bytes, hops = steps(kind, ranks);
    const double small =
        hops * d.constant_or("small_hop_time", 1e-6) + sent / (d.constant_or("small_network_fraction", 0.1) * wire);
    const double large = hops * d.constant_or("large_hop_time", 4e-6) +
                         sent / (d.constant_or("network_fraction", 0.75) * wire) +
                         filling(d, "fill_fraction", sent, wire, 0);
    return launch_of(d) + std::min(small, large);
}

/// Added up in the switch: every rank sends its buffer and one share of the sum, once (NCCL's NVLS).
double in_switch(const Device& d, double bytes, int ranks) {
    const double wire = rate(d.system(), 0), sent = bytes * (1 + 1.0 / ranks);
    return d.constant("switch_launch_time") + sent / (d.constant("switch_network_fraction") * wire) +
           filling(d, "switch_fill_fraction", sent, wire, 0);
}

double inside(const Device& d, CollectiveKind kind, double bytes, int ranks, const std::string& algorithm) {
    const bool adds = kind == CollectiveKind::allreduce && d.system().fabrics.front().in_network_reduction &&
                      d.has("switch_network_fraction");
    if (!adds || algorithm == "ring") return ring(d, kind, bytes, ranks);
    const double reduced = in_switch(d, bytes, ranks);
    return algorithm == "nvls" ? reduced : std::min(reduced, ring(d, kind, bytes, ranks));
}

/// One message, over one port.
double message(const Device& d, double bytes, bool across) {
    const double start = d.constant_or("send_launch_time", launch_of(d));
    if (!across) return start + bytes / (d.constant_or("send_fraction", 0.8) * rate(d.system(), 0));
    return start + d.constant_or("node_send_time", 10e-6) +
           bytes / (d.constant_or("node_send_fraction", 0.7) * rate(d.system(), 1));
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

double collective_time(const Device& d, CollectiveKind kind, double bytes, int ranks, int per_domain,
                       const std::string& algorithm) {
    if (ranks <= 1) return 0;
    const int local = per_domain > 0 ? per_domain : domain_units(d.system());
    if (kind == CollectiveKind::send_recv) return message(d, bytes, ranks > local);
    if (ranks <= local) return inside(d, kind, bytes, ranks, algorithm);
    const double domains = std::ceil(static_cast<double>(ranks) / local), depth = std::log2(domains);
    const double wire = rate(d.system(), 1) * local;  // the ports of a whole domain carry its share together
    return launch_of(d) + depth * d.constant_or("node_hop_time", 45e-6) +
           traffic_factor(kind, ranks) * bytes / (d.constant_or("node_network_fraction", 0.9) * wire) +
           filling(d, "node_fill_fraction", bytes * (1 + depth), wire, 1);
}

}  // namespace wb::cluster
