#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "core/error.hpp"
#include "models/collective_laws.hpp"
#include "models/reduction_tree.hpp"

using namespace wb;

namespace {

/// e[n, d] by the recurrence as printed; impossible ones are `never`.
std::vector<std::vector<std::int64_t>> energies(int most) {
    constexpr std::int64_t never = 1'000'000'000;
    const auto size = static_cast<std::size_t>(most) + 1;
    std::vector<std::vector<std::int64_t>> e(size, std::vector<std::int64_t>(size, never));
    for (std::size_t d = 0; d < size; ++d) e[1][d] = 0;
    for (std::size_t n = 2; n < size; ++n)
        for (std::size_t d = 1; d < size; ++d)
            for (std::size_t s = 1; s < n; ++s)
                e[n][d] = std::min(e[n][d], e[s][d - 1] + e[n - s][d] + static_cast<std::int64_t>(n - s));
    return e;
}

/// Every pre-order tree of n PEs, as parents.
void each_tree(int n, std::vector<int>& parent, const std::function<void(const std::vector<int>&)>& visit) {
    if (static_cast<int>(parent.size()) == n) return visit(parent);
    for (int open = static_cast<int>(parent.size()) - 1; open >= 0; open = parent[static_cast<std::size_t>(open)]) {
        parent.push_back(open);
        each_tree(n, parent, visit);
        parent.pop_back();
    }
}

}  // namespace

TEST_CASE("The least energy for a depth: closed form, tree and recurrence agree") {
    constexpr int most = 72;
    const auto e = energies(most);
    for (int n = 1; n <= most; ++n)
        for (int d = 1; d < std::max(n, 2); ++d) {
            CAPTURE(n);
            CAPTURE(d);
            const std::int64_t expected = e[static_cast<std::size_t>(n)][static_cast<std::size_t>(d)];
            REQUIRE(least_energy(n, d) == expected);
            const ReductionTree tree = least_energy_tree(n, d);
            REQUIRE(tree.energy() == expected);
            REQUIRE(tree.depth() <= d);
        }
    CHECK(least_energy(1024, 1) == 1024 * 1023 / 2);
    CHECK(least_energy(1024, 1023) == 1023);
    CHECK(least_energy_tree(1024, 17).energy() == least_energy(1024, 17));
}

TEST_CASE("The shapes of the named trees") {
    CHECK(star_tree(9).depth() == 1);
    CHECK(star_tree(9).most_children() == 8);
    CHECK(star_tree(9).energy() == 36);
    CHECK(chain_tree(9).depth() == 8);
    CHECK(chain_tree(9).energy() == 8);
    CHECK(binary_tree(16).depth() == 4);
    CHECK(binary_tree(16).most_children() == 4);
    CHECK(binary_tree(16).energy() == 32);   // P / 2 log2 P
    CHECK(two_phase_tree(16).depth() == 6);  // 2 sqrt P - 2
    CHECK(two_phase_tree(16).most_children() == 2);
    CHECK(two_phase_tree(16).energy() == 24);  // 2 (P - sqrt P)
    CHECK(two_phase_groups(17) == 4);
    CHECK(two_phase_groups(17, 3) == 6);
    const ReductionTree one = star_tree(1);
    CHECK(one.depth() == 0);
    CHECK(one.children(0).empty());
    const ReductionTree seven = two_phase_tree(7, 3);  // groups at 0, 2 and 4
    CHECK(seven.parent(2) == 0);
    CHECK(seven.parent(4) == 2);
    CHECK(seven.parent(6) == 5);
    CHECK(std::vector<int>(seven.children(2).begin(), seven.children(2).end()) == std::vector{3, 4});
}

TEST_CASE("Trees whose messages would cross are refused") {
    CHECK_THROWS_AS(ReductionTree({-1, 0, 0, 1}), ContractError);
    CHECK_THROWS_AS(ReductionTree({0}), ContractError);
    CHECK_THROWS_AS(ReductionTree({-1, 1}), ContractError);
    CHECK_THROWS_AS(ReductionTree(std::vector<int>{}), ContractError);
    CHECK_NOTHROW(ReductionTree({-1, 0, 1, 0}));
}

TEST_CASE("No tree of up to ten PEs is faster than the fastest, by its recurrence") {
    Mesh m;
    for (const int start : {0, 6})
        for (int n = 2; n <= 10; ++n)
            for (const std::int64_t b : {1, 3, 20, 200}) {
                m.vector_start_cycles = start;
                std::int64_t best = reduce_cycles(m, chain_tree(n), b);
                std::vector<int> parent{-1};
                each_tree(n, parent, [&](const std::vector<int>& p) {
                    best = std::min(best, reduce_cycles(m, ReductionTree(p), b));
                });
                const std::int64_t fastest = reduce_cycles(m, fastest_tree(m, n, b), b);
                CAPTURE(n);
                CAPTURE(b);
                // The recurrence knows neither pairs of leaves, which hide starts, nor the cycles that switches cost.
                const std::int64_t hidden = start > 0 ? n * start / 2 : 3;
                CHECK(fastest >= best);
                CHECK(fastest <= best + hidden);
            }
}

TEST_CASE("Children are received nearest first, and stored unless added in passing") {
    rc::check("any tree", [] {
        const int n = *rc::gen::inRange(1, 60);
        std::vector<int> parent{-1};
        for (int i = 1; i < n; ++i) {
            int above = i - 1;
            for (int up = *rc::gen::inRange(0, i); up > 0 && above > 0; --up)
                above = parent[static_cast<std::size_t>(above)];
            parent.push_back(above);
        }
        const ReductionTree tree(parent);
        std::size_t edges = 0;
        for (int i = 0; i < n; ++i) {
            const auto all = tree.children(i);
            edges += all.size();
            RC_ASSERT(std::is_sorted(all.begin(), all.end()));
            for (const int child : all) RC_ASSERT(tree.parent(child) == i);
            const auto streamed = tree.stored_children(i, Forwarding::streamed);
            RC_ASSERT(all.size() - streamed.size() == (i > 0 && !all.empty() ? 1U : 0U));
            RC_ASSERT(tree.stored_children(i, Forwarding::phased).size() >= streamed.size());
        }
        RC_ASSERT(edges == static_cast<std::size_t>(n) - 1);
    });
}
