// Multicasts along random trees: every link and every PE is known beforehand, from the routes alone.

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include "tests/models/fabric/forest.hpp"
#include "tests/models/fabric/interpreter.hpp"
#include "tests/models/fabric/laws.hpp"

using namespace wb::fabric::test;

namespace {

/// What a script must count: sends x fan-out.
struct Counts {
    std::uint64_t injected = 0, consumed = 0, hops = 0;
    std::vector<std::uint32_t> links;
};

/// One message of b wavelets along each multicast tree, all at once; adds what they must count.
void add_multicasts(Script& s, const std::vector<Tree>& forest, int b, Counts& counts) {
    for (const Tree& tree : forest) {
        if (tree.kind != Tree::Kind::multicast) continue;
        for (const auto& [node, route] : tree.routes) {
            s.nodes[static_cast<std::size_t>(node)].routes.push_back(route);
            for (const Side side : route.positions[0].to) {
                counts.links[static_cast<std::size_t>(5 * node + side)] += static_cast<std::uint32_t>(b);
                if (side != ramp) counts.hops += static_cast<std::uint64_t>(b);
            }
        }
        const int colour = tree.routes.begin()->second.colour;
        const Message& m = tree.messages[0];
        Node& from = s.nodes[static_cast<std::size_t>(m.sender)];
        send(from, colour, counting(from, b)).async = true;
        counts.injected += static_cast<std::uint64_t>(b);
        for (const int to : m.receivers) {
            receive(s.nodes[static_cast<std::size_t>(to)], Kind::recv, colour, b).async = true;
            counts.consumed += static_cast<std::uint64_t>(b);
        }
    }
}

}  // namespace

TEST_CASE("wavelets are conserved: sends times fan-out are consumed, links carry what routes say") {
    CHECK(rc::check("multicasts on random trees", [] {
        const int rows = *rc::gen::inRange(1, 9), columns = *rc::gen::inRange(1, 9), colours = *rc::gen::inRange(1, 6);
        const int b = *rc::gen::inRange(1, 30);
        Script s = blank(rows, columns, ideal_mesh(*rc::gen::inRange(1, 5)));
        s.mesh.microthreads = 2 * colours;
        Counts counts;
        counts.links.resize(s.nodes.size() * 5);
        for (int c = 0; c < colours; ++c)
            add_multicasts(s, grow_forest(rows, columns, c, Dice(*rc::gen::arbitrary<std::uint32_t>())), b, counts);
        const Outcome o = run_engine(s);
        RC_ASSERT(o.end == End::finished);
        RC_ASSERT(o.injected == counts.injected);
        RC_ASSERT(o.consumed == counts.consumed);
        RC_ASSERT(o.hops == counts.hops);
        RC_ASSERT(o.links == counts.links);
        for (std::size_t i = 0; i < s.nodes.size(); ++i)
            for (const Step& step : s.nodes[i].steps)
                RC_ASSERT(o.memory[i][static_cast<std::size_t>(step.a.region)].back() == static_cast<float>(b));
    }));
}
