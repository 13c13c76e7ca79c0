#include "models/collective_algorithm.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "core/error.hpp"
#include "core/suggest.hpp"

namespace wb::cluster {
namespace {

using Way = CollectiveAlgorithm;

constexpr std::string_view names[] = {
    "ring", "recursive-doubling", "halving-doubling", "dissemination", "tree",  "chain",    "pairwise",
    "nvls", "double-tree",        "nvlstree",         "hierarchical",  "torus", "dragonfly"};

[[noreturn]] void refuse(Way way, const std::string& problem, const std::string& why, const std::string& hint) {
    throw Error({"algorithm", fmt::format("\"{}\" {}", name(way), problem), why, hint});
}

std::string ways_of(CollectiveKind operation) {
    std::string out;
    for (std::size_t i = 0; i < std::size(names); ++i)
        if (does(static_cast<Way>(i), operation)) out += fmt::format("{}{}", out.empty() ? "" : ", ", names[i]);
    return out;
}

bool is_torus(const Fabric& f) { return f.topology == "ring" || f.topology.starts_with("torus"); }

}  // namespace

std::string_view name(Way way) { return names[static_cast<std::size_t>(way)]; }

std::vector<std::string> collective_algorithm_names() { return {std::begin(names), std::end(names)}; }

Way collective_algorithm(const std::string& text) {
    for (std::size_t i = 0; i < std::size(names); ++i)
        if (names[i] == text) return static_cast<Way>(i);
    throw Error({"algorithm", in_quotes(text) + " is no way to do a collective", "its time is not known",
                 did_you_mean(text, collective_algorithm_names())});
}

bool does(Way way, CollectiveKind operation) {
    switch (operation) {
        case CollectiveKind::allreduce: return way != Way::chain && way != Way::pairwise;
        case CollectiveKind::allgather:
        case CollectiveKind::reduce_scatter:
            return way == Way::ring || way == Way::halving_doubling || way == Way::double_tree ||
                   way == Way::hierarchical || way == Way::torus || way == Way::dragonfly;
        case CollectiveKind::alltoall: return way == Way::pairwise;
        case CollectiveKind::broadcast: return way == Way::tree || way == Way::chain || way == Way::double_tree;
        case CollectiveKind::send_recv: return way == Way::ring;
        case CollectiveKind::none: return false;
    }
    return false;
}

void expect_lawful(Way way, CollectiveKind operation, const System& s, const std::vector<NetworkLevel>& levels) {
    const Fabric& inner = *levels.front().fabric;
    const int ranks = levels.back().ranks;
    const bool one = levels.size() == 1;
    if (!does(way, operation))
        refuse(way, fmt::format("does no {}", name(operation)), "its time is not known",
               fmt::format("Known: {}.", ways_of(operation)));
    const bool in_switch = way == Way::nvls || way == Way::nvlstree;
    if (in_switch && !inner.in_network_reduction)
        refuse(way, fmt::format("adds up in the switch, which the fabric \"{}\" of {} does not", inner.name, s.id),
               "the units would have to add", "Use \"ring\".");
    if (way == Way::nvls && !one)
        refuse(way, fmt::format("adds up in one switch, and {} units are beyond that of {}", ranks, s.id),
               fmt::format("it joins {}", levels.front().ranks), "Use \"nvlstree\".");
    const bool between = way == Way::nvlstree || way == Way::double_tree || way == Way::hierarchical;
    if (between && one)
        refuse(way, fmt::format("goes between domains, and {} units are one domain of {}", ranks, s.id),
               "there is no hierarchy", in_switch ? "Use \"nvls\"." : "Use \"ring\".");
    if (way == Way::torus && !(one && is_torus(inner))) {
        const Fabric& f = one ? inner : *levels.back().fabric;
        refuse(way,
               fmt::format("goes along the dimensions of a torus, and {} units of {} are joined by \"{}\"", ranks, s.id,
                           f.name),
               fmt::format("its topology is {}", f.topology), one ? "Use \"ring\"." : "Use \"hierarchical\".");
    }
    if (way == Way::dragonfly && (one || levels.back().fabric->topology != "dragonfly"))
        refuse(way,
               fmt::format("goes between the groups of a dragonfly, and {} units of {} are joined by \"{}\"", ranks,
                           s.id, levels.back().fabric->name),
               fmt::format("its topology is {}", levels.back().fabric->topology),
               one ? "Use \"ring\"." : "Use \"hierarchical\".");
}

}  // namespace wb::cluster
