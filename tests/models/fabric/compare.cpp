#include "tests/models/fabric/compare.hpp"

#include <fmt/format.h>

#include <cmath>

namespace wb::fabric::test {

namespace {

/// Lists of `per_node` counts for every PE.
std::string difference(const char* what, const Script& script, int per_node, const std::vector<std::uint32_t>& expected,
                       const std::vector<std::uint32_t>& got) {
    if (expected.size() != got.size()) return fmt::format("{}: {} values, {} got", what, expected.size(), got.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
        const int node = static_cast<int>(i) / per_node;
        if (expected[i] != got[i])
            return fmt::format("{} [{}] of PE ({}, {}): {} expected, {} got", what, static_cast<int>(i) % per_node,
                               node / script.columns, node % script.columns, expected[i], got[i]);
    }
    return "";
}

std::string memory_difference(const Script& script, const Outcome& expected, const Outcome& got) {
    for (std::size_t n = 0; n < got.memory.size(); ++n)
        for (std::size_t r = 0; r < got.memory[n].size(); ++r)
            for (std::size_t i = 0; i < got.memory[n][r].size(); ++i) {
                const float x = expected.memory.at(n).at(r).at(i), y = got.memory[n][r][i];
                if (x == y || (std::isnan(x) && std::isnan(y))) continue;
                const int node = static_cast<int>(n);
                return fmt::format("memory of PE ({}, {}), region {}, element {}: {} expected, {} got",
                                   node / script.columns, node % script.columns, r, i, x, y);
            }
    return "";
}

}  // namespace

const char* name(End end) {
    constexpr const char* names[] = {"finished", "deadlock", "wavelets never received", "refused", "endless"};
    return names[static_cast<int>(end)];
}

std::string difference(const Script& script, const Outcome& expected, const Outcome& got) {
    if (expected.end != got.end)
        return fmt::format("{} expected, {} got: {}", name(expected.end), name(got.end), got.message);
    if (got.end != End::finished) return "";
    if (expected.cycles != got.cycles) return fmt::format("cycles: {} expected, {} got", expected.cycles, got.cycles);
    if (expected.hops != got.hops) return fmt::format("hops: {} expected, {} got", expected.hops, got.hops);
    if (expected.injected != got.injected)
        return fmt::format("injected: {} expected, {} got", expected.injected, got.injected);
    if (expected.consumed != got.consumed)
        return fmt::format("consumed: {} expected, {} got", expected.consumed, got.consumed);
    if (auto text = difference("link", script, 5, expected.links, got.links); !text.empty()) return text;
    if (auto text = difference("busy", script, 1, expected.busy, got.busy); !text.empty()) return text;
    if (expected.memory.empty() || got.memory.empty() || expected.raced) return "";
    return memory_difference(script, expected, got);
}

}  // namespace wb::fabric::test
