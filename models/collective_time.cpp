#include "models/collective_time.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "models/message_law.hpp"

namespace wb::cluster {
namespace {

using Way = CollectiveAlgorithm;
using Levels = std::vector<NetworkLevel>;

struct Question {
    const Device& device;
    CollectiveKind kind;
    double bytes;
    const Levels& levels;
    int ranks;
};

/// What the ports of a node's ranks carry together; fewer ports than units may be all a node has.
double wire_of(const Device& d, const NetworkLevel& level, int local) {
    const double all = level.rate * local;
    return level.constants == "node_" ? std::min(all, d.constant_or("node_bandwidth", all)) : all;
}

/// Machines whose libraries reach less of every level than others of their kind: a site's own share.
double network_share(const Device& d) { return d.constant_or("network_share", 1); }

/// One message, over one port.
double message(const Question& q) {
    const Device& d = q.device;
    const double start = d.constant_or("send_launch_time", collective_launch(d));
    if (q.levels.size() == 1) {
        const double port = q.levels[0].port, large = start + q.bytes / (d.constant_or("send_fraction", 0.8) * port);
        if (!d.has("send_small_launch_time")) return large;
        return std::min(large, d.constant("send_small_launch_time") +
                                   q.bytes / (d.constant_or("small_network_fraction", 0.1) * port));
    }
    const double turn = other_rail_hop(q.levels, protocols(d, q.levels[0]).back().link.hop);
    return start + d.constant_or("node_send_time", 10e-6) + turn +
           q.bytes / (d.constant_or("node_send_fraction", 0.7) * q.levels.back().port);
}

/// Added up in the switch: every rank sends its buffer and one share of the sum, once.
CollectiveChoice in_switch(const Question& q) {
    const double wire = q.levels[0].rate, sent = q.bytes * (1 + 1.0 / q.ranks);
    const Protocol p{"Simple",
                     {0, q.device.constant_or("switch_network_fraction", 0.68) * wire},
                     q.device.constant_or("switch_fill_fraction", 0),
                     wire};
    return {
        Way::nvls, p.name,
        q.device.constant_or("switch_launch_time", collective_launch(q.device)) + sent / p.link.rate + p.filling(sent)};
}

/// Trees over the domains, whose depth costs time; the ports of a whole domain carry its share together.
CollectiveChoice over_domains(const Question& q, Way way) {
    const Device& d = q.device;
    const int local = q.levels[q.levels.size() - 2].ranks;
    const double depth = std::log2(std::ceil(static_cast<double>(q.ranks) / local));
    const double wire = network_share(d) * wire_of(d, q.levels.back(), local),
                 sent = traffic_factor(q.kind, q.ranks) * q.bytes;
    const auto law = [&](const std::string& size, double hop, double fraction, double fill) {
        const Protocol p{
            "",
            {d.constant_or(size + "_hop_time", hop), wire * d.constant_or(size + "_network_fraction", fraction)},
            d.constant_or(size + "_fill_fraction", fill),
            wire};
        return collective_launch(d) + depth * p.link.hop + sent / p.link.rate + p.filling(q.bytes * (1 + depth));
    };
    CollectiveChoice best{way, "Simple", law("node", 45e-6, 0.9, 0)};
    if (!d.has("node_small_hop_time")) return best;
    if (const double small = law("node_small", 0, 0.1, 0); small < best.seconds) best = {way, "LL", small};
    return best;
}

CollectiveChoice by_messages(const Question& q, Way way) {
    CollectiveChoice best{way, "", HUGE_VAL};
    std::vector<Link> links(1);
    for (std::size_t i = 1; i < q.levels.size(); ++i)
        links.push_back(outer_link(q.device, q.levels[i], q.levels[i - 1].ranks));
    for (const Protocol& p : protocols(q.device, q.levels[0])) {
        links[0] = p.link;
        if (q.kind == CollectiveKind::alltoall && q.device.has("alltoall_fraction"))
            links[0].rate = std::min(links[0].rate, q.device.constant("alltoall_fraction") * q.levels[0].rate);
        const double time = messages_seconds(way, q.kind, q.bytes, q.levels, links) +
                            p.filling(bytes_sent(way, q.kind, q.bytes, q.ranks));
        if (time < best.seconds) best = {way, p.name, time};
    }
    best.seconds += collective_launch(q.device);
    return best;
}

CollectiveChoice timed(const Question& q, Way way) {
    if (way == Way::nvls) return in_switch(q);
    if (way == Way::double_tree || way == Way::nvlstree) return over_domains(q, way);
    return by_messages(q, way);
}

/// What a library chooses among in one domain. An MPI between lone nodes knows halving and doubling.
std::vector<Way> usual_inside(const Question& q, bool adds) {
    const Fabric& f = *q.levels[0].fabric;
    std::vector<Way> out{Way::ring};
    if (is_of_lone_nodes(q.device.system())) out.push_back(Way::halving_doubling);
    if (q.levels[0].links > 1 && f.topology.starts_with("torus")) out.push_back(Way::torus);
    if (adds) out.push_back(Way::nvls);
    return out;
}

/// What a library chooses among. Where the file states the fraction of a ring between nodes, it went around rings when
/// it was measured; trees are known to all that state their hop.
std::vector<Way> usual(const Question& q) {
    const Device& d = q.device;
    if (q.kind == CollectiveKind::alltoall) return {Way::pairwise};
    if (q.kind == CollectiveKind::broadcast && q.levels.size() == 1) return {Way::tree, Way::chain};
    const bool adds = q.kind == CollectiveKind::allreduce && q.levels[0].fabric->in_network_reduction &&
                      d.constant_or("switch_network_fraction", 0) > 0;
    if (q.levels.size() == 1) return usual_inside(q, adds);
    const bool rings = d.constant_or(q.levels.back().constants + "ring_fraction", 0) > 0 && does(Way::ring, q.kind);
    if (!rings) return {adds ? Way::nvlstree : Way::double_tree};
    std::vector<Way> out = q.levels.back().constants == "node_" ? usual_inside(q, false) : std::vector<Way>{Way::ring};
    if (d.has("node_hop_time")) out.push_back(Way::double_tree);
    return out;
}

}  // namespace

double Protocol::filling(double sent) const { return fill * std::sqrt(sent / wire * 1e-6); }

std::vector<Protocol> protocols(const Device& d, const NetworkLevel& inner) {
    const double wire = inner.rate;
    std::vector<Protocol> out;
    const auto add = [&](std::string_view name, double hop, double fraction, double fill) {
        // What is not spent on the way, the ranks at its ends are busy for.
        const double way = inner.fabric->latency ? inner.fabric->latency->value : hop / 2;
        out.push_back({name, {hop, fraction * wire, std::max(0.0, hop - way)}, fill, wire});
    };
    // 0: a library of one protocol.
    if (const double low = d.constant_or("small_network_fraction", 0.1); low > 0)
        add("LL", d.constant_or("small_hop_time", 1e-6), low, 0);
    if (d.has("middle_network_fraction"))
        add("LL128", d.constant_or("middle_hop_time", 2e-6), d.constant("middle_network_fraction"), 0);
    add("Simple", d.constant_or("large_hop_time", 4e-6), network_share(d) * d.constant_or("network_fraction", 0.75),
        d.constant_or("fill_fraction", 0));
    return out;
}

Link outer_link(const Device& d, const NetworkLevel& level, int local) {
    const std::string key = level.constants + "ring_fraction";
    const double stated = d.constant_or(key, 0),
                 fraction = stated > 0 ? stated : d.constant_or("node_network_fraction", 0.9);
    return {d.constant_or(level.constants + "ring_hop_time", 14e-6),  // NCCL's chooser, network, Simple
            fraction * wire_of(d, level, local) / local, d.constant_or(level.constants + "ring_gap_time", 0)};
}

double collective_launch(const Device& d) { return d.constant_or("collective_launch_time", d.constant("launch_time")); }

CollectiveChoice collective_choice(const Device& d, CollectiveKind kind, double bytes, int ranks, int per_domain,
                                   const std::string& algorithm) {
    if (ranks <= 1) return {};
    const Levels levels = network_levels(d.system(), ranks, per_domain);
    if (const auto law = MessageLaw::of(d.system()); law && algorithm.empty() && levels.size() == 1)
        return {Way::pairwise, "measured messages", law->collective(kind, bytes, ranks)};
    const Question q{d, kind, bytes, levels, ranks};
    CollectiveChoice best{Way::ring, "", HUGE_VAL};
    std::vector<Way> ways;
    if (algorithm.empty()) {
        ways = usual(q);
    } else {
        ways = {collective_algorithm(algorithm)};
        expect_lawful(ways.front(), kind, d.system(), levels);
    }
    if (kind == CollectiveKind::send_recv) return {Way::ring, "", message(q)};
    for (const Way way : ways)
        if (const CollectiveChoice c = timed(q, way); c.seconds < best.seconds) best = c;
    if (bytes > d.constant_or("large_buffer_bytes", HUGE_VAL)) best.seconds += d.constant("large_buffer_time");
    // Ranks whose launches lie apart wait for the last one, however little there is to do.
    best.seconds = std::max(best.seconds, d.constant_or("collective_floor_time", 0));
    return best;
}

double collective_time(const Device& d, CollectiveKind kind, double bytes, int ranks, int per_domain,
                       const std::string& algorithm) {
    return collective_choice(d, kind, bytes, ranks, per_domain, algorithm).seconds;
}

Link crossing_link(const Device& d, int apart) {
    const int domain = std::max(1, domain_units(d.system()));
    const NetworkLevel outer = network_levels(d.system(), std::max(domain, apart) + 1).back();
    const double rate = std::min(outer.port, wire_of(d, outer, domain) / domain);
    return {d.constant_or("node_send_time", 10e-6), d.constant_or("node_send_fraction", 0.7) * rate, 0};
}

double crossing_message_time(const Device& d, double bytes, int apart) {
    const Link link = crossing_link(d, apart);
    return d.constant_or("send_launch_time", collective_launch(d)) + link.hop + bytes / link.rate;
}

double stolen_seconds(const Device& d, double hidden, bool across) {
    return hidden * d.constant_or(across ? "node_stolen_fraction" : "stolen_fraction", 0);
}

}  // namespace wb::cluster
