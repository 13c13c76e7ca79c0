#include "kernels/workloads/onnx/region.hpp"

#include <algorithm>
#include <map>

namespace wb::onnx_import {
namespace {

constexpr std::size_t most_nodes = 64, most_elements = 1U << 24;

bool is_constant(const Value& v) { return v.known.has_value() || v.weight; }

/// Nodes that follow from `entry` alone.
std::set<int> grown(const Imported& g, int entry, const Rules& rules) {
    std::set<int> values{entry}, nodes, waiting;
    const auto wait = [&](int v) {
        for (const int user : g.value(v).users) waiting.insert(user);
    };
    wait(entry);
    while (!waiting.empty() && nodes.size() < most_nodes) {
        const int at = *waiting.begin();
        waiting.erase(waiting.begin());
        const Node& node = g.nodes[at];
        if (node.gone || nodes.contains(at) || !rules.node(node)) continue;
        const bool follows = std::all_of(node.in.begin(), node.in.end(), [&](int v) {
            return v < 0 || values.contains(v) || (is_constant(g.value(v)) && rules.constant(g.value(v)));
        });
        if (!follows) continue;  // asked again when another of its inputs is reached
        nodes.insert(at);
        for (const int v : node.out)
            if (v >= 0) {
                values.insert(v);
                wait(v);
            }
    }
    return nodes;
}

/// Of `nodes`, those that `exit` needs.
std::set<int> needed(const Imported& g, const std::set<int>& nodes, int exit) {
    std::set<int> out;
    std::vector<int> open{g.value(exit).producer};
    while (!open.empty()) {
        const int at = open.back();
        open.pop_back();
        if (!nodes.contains(at) || !out.insert(at).second) continue;
        for (const int v : g.nodes[at].in)
            if (v >= 0 && g.value(v).producer >= 0) open.push_back(g.value(v).producer);
    }
    return out;
}

bool used_outside(const Imported& g, int v, const std::set<int>& nodes) {
    if (g.value(v).output) return true;
    return std::any_of(g.value(v).users.begin(), g.value(v).users.end(),
                       [&](int user) { return !nodes.contains(user) && !g.nodes[user].gone; });
}

bool closed(const Imported& g, const std::set<int>& nodes, int exit) {
    for (const int at : nodes)
        for (const int v : g.nodes[at].out)
            if (v >= 0 && v != exit && used_outside(g, v, nodes)) return false;
    return true;
}

}  // namespace

std::vector<Region> regions_from(const Imported& g, int entry, const Rules& rules) {
    const std::set<int> all = grown(g, entry, rules);
    std::vector<Region> out;
    for (const int at : all)
        for (const int v : g.nodes[at].out) {
            if (v < 0 || !used_outside(g, v, all)) continue;
            const std::set<int> nodes = needed(g, all, v);
            if (nodes.empty() || !closed(g, nodes, v)) continue;
            Region r{entry, v, {nodes.begin(), nodes.end()}, {}};
            std::set<int> constants;
            for (const int n : nodes)
                for (const int c : g.nodes[n].in)
                    if (c >= 0 && is_constant(g.value(c))) constants.insert(c);
            r.constants.assign(constants.begin(), constants.end());
            out.push_back(std::move(r));
        }
    return out;
}

std::vector<int> sources_of(const Imported& g, int of, const Rules& rules, int most_steps) {
    std::vector<int> out{of};
    std::size_t begin = 0;
    for (int step = 0; step < most_steps; ++step) {
        const std::size_t end = out.size();
        for (; begin < end; ++begin) {
            const int producer = g.value(out[begin]).producer;
            if (producer < 0 || g.nodes[producer].gone || !rules.node(g.nodes[producer])) continue;
            for (const int v : g.nodes[producer].in)
                if (v >= 0 && !is_constant(g.value(v)) && std::find(out.begin(), out.end(), v) == out.end())
                    out.push_back(v);
        }
    }
    return out;
}

std::optional<Array> value_of(const Imported& g, const Region& region, const Array& entry,
                              const std::map<int, Array>& replaced) {
    std::map<int, Array> values = replaced;
    values[region.entry] = entry;
    for (const int at : region.nodes) {
        const Node& node = g.nodes[at];
        std::vector<const Array*> in;
        for (std::size_t i = 0; i < node.in.size(); ++i) {
            const auto found = values.find(node.in[i]);
            in.push_back(found != values.end() ? &found->second : g.known(node, i));
            if (node.in[i] >= 0 && !in.back()) return std::nullopt;
        }
        auto results = evaluate(node.op, in, node.attributes, node.out.size(), false, most_elements);
        if (!results) return std::nullopt;
        for (std::size_t i = 0; i < node.out.size() && i < results->size(); ++i)
            if (node.out[i] >= 0) values[node.out[i]] = std::move((*results)[i]);
    }
    return values[region.exit];
}

void replace(Imported& g, const Region& region, Node by) {
    const int at = g.value(region.exit).producer;
    for (const int n : region.nodes) g.nodes[n].gone = true;
    by.name = g.nodes[at].name;
    by.out = {region.exit};
    for (const int v : by.in)
        if (v >= 0) g.value(v).users.push_back(at);
    g.nodes[at] = std::move(by);
}

}  // namespace wb::onnx_import
