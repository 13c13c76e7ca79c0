#include "models/collective_network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/error.hpp"

namespace wb::cluster {
namespace {

int dimensions(const std::string& topology) {
    return topology == "torus3d" ? 3 : topology == "torus2d" || topology == "mesh2d" ? 2 : 1;
}

std::string prefix(const System& s, std::size_t level) {
    if (level == 0) return "";
    return level + 1 == s.fabrics.size() ? "node_" : "board_";
}

/// `group` ranks of the fabric's units take part.
NetworkLevel level_of(const System& s, std::size_t index, double units, int group) {
    const Fabric& f = s.fabrics[index];
    if (!f.bandwidth)
        throw Error({s.file, fmt::format("the fabric \"{}\" has no bandwidth", f.name),
                     "a collective through it cannot be timed", "State it with its source."});
    NetworkLevel out;
    out.fabric = &f;
    out.constants = prefix(s, index);
    out.links = dimensions(f.topology);
    const double shared = f.oversubscription ? std::max(1.0, f.oversubscription->value) : 1;
    const bool direct = f.topology == "ring" || f.topology == "mesh2d" || f.topology.starts_with("torus");
    double ports = f.ports ? f.ports->value : direct ? 2 * out.links : 1;
    // Units with the same index in their domains are one hop apart on a rail: only other rails share the spine.
    const bool rails = f.topology == "rail_optimised";
    out.rate = f.bandwidth->value / (rails ? 1 : shared);
    if (rails) out.spine = f.bandwidth->value / shared;
    if (f.topology == "full_mesh" && units > 1) {
        if (!f.ports) ports = units - 1;
        out.rate *= std::clamp(group - 1.0, 1.0, ports) / ports;
    }
    out.port = f.bandwidth->value / ports;
    return out;
}

}  // namespace

bool forwards(const NetworkLevel& inner) {
    return inner.fabric->topology == "switch" || inner.fabric->topology == "full_mesh";
}

bool is_of_lone_nodes(const System& s) {
    const auto node = s.node.find("units");
    return node != s.node.end() && node->second.value == 1;
}

int domain_units(const System& s) {
    const Fabric* first = s.fabrics.empty() ? nullptr : &s.fabrics.front();
    return first && first->units ? static_cast<int>(first->units->value) : 1;
}

std::vector<NetworkLevel> network_levels(const System& s, int ranks, int per_domain) {
    const int local = per_domain > 0 ? per_domain : domain_units(s);
    const double apart = std::max(1.0, static_cast<double>(domain_units(s)) / local);  // units from rank to rank
    std::vector<NetworkLevel> out;
    double most = 1;
    for (std::size_t i = 0; i < s.fabrics.size(); ++i) {
        const double units = s.fabrics[i].units ? s.fabrics[i].units->value : HUGE_VAL;
        const bool last = i + 1 == s.fabrics.size();
        // Ranks that lie apart may lie anywhere in the outermost fabric: whoever asks has counted the units.
        const double joined = i == 0 ? local : last ? units : units / apart;
        most = std::max(most, units);
        if (i > 0 && joined <= out.back().ranks) continue;
        NetworkLevel level = level_of(s, i, units, std::min(ranks, local));
        level.ranks = static_cast<int>(std::min<double>(ranks, joined));
        if (i > 0 && !is_of_lone_nodes(s)) level.rings = out.back().ranks;
        out.push_back(level);
        if (level.ranks == ranks) return out;
    }
    const std::string outermost =
        s.fabrics.empty()  ? "It states no fabric."
        : std::isinf(most) ? fmt::format("\"{}\" does not say how many it joins.", s.fabrics.back().name)
                           : fmt::format("The outermost, \"{}\", joins {:.0f}.", s.fabrics.back().name, most);
    throw Error(
        {s.file, fmt::format("no fabric joins {} units", ranks), "a collective over them cannot be timed", outermost});
}

std::vector<int> box(int ranks, int dimensions) {
    if (dimensions <= 1) return {ranks};
    int edge = static_cast<int>(std::ceil(std::pow(ranks, 1.0 / dimensions) - 1e-9));
    while (ranks % edge != 0) ++edge;
    std::vector<int> out = box(ranks / edge, dimensions - 1);
    out.push_back(edge);
    std::sort(out.begin(), out.end(), std::greater<>());
    return out;
}

}  // namespace wb::cluster
