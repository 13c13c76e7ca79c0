// A mesh placed around defects is the oracle's mesh with routers in between that pass on what crosses them.

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <iostream>
#include <optional>

#include "core/error.hpp"
#include "tests/models/fabric/compare.hpp"
#include "tests/models/fabric/interpreter.hpp"
#include "tests/models/fabric/oracle.hpp"
#include "tests/models/fabric/recipe.hpp"

using namespace wb::fabric::test;
using wb::fabric::place;
using wb::fabric::Placement;
using wb::fabric::YieldMap;

namespace {

bool uses(const Node& node, int colour, Side side, bool to) {
    for (const ColourRoute& r : node.routes)
        for (const Position& p : r.positions) {
            const bool there = std::find(p.to.begin(), p.to.end(), side) != p.to.end();
            if (r.colour == colour && (to ? there : p.from == side)) return true;
        }
    return false;
}

/// Routes for the routers between two neighbours of the program, `steps` apart. False where a colour crosses both ways.
bool bridge(Script& wide, const Node& a, const Node& b, int row, int column, bool down, int steps) {
    const Side along = down ? south : east, back = down ? north : west;
    for (int c = 0; c < wide.mesh.colours; ++c) {
        const bool there = uses(a, c, along, true) && uses(b, c, back, false);
        const bool here = uses(b, c, back, true) && uses(a, c, along, false);
        if (there && here) return false;
        if (!there && !here) continue;
        for (int k = 1; k < steps; ++k)
            wide.at(down ? row + k : row, down ? column : column + k)
                .routes.push_back({c, {{there ? back : along, {there ? along : back}}}, false});
    }
    return true;
}

/// The script on the whole mesh of the map; none if a colour crosses what is left out both ways.
std::optional<Script> widened(const Script& script, const Placement& p, int rows, int columns) {
    Script wide = blank(rows, columns, script.mesh);
    for (int i = 0; i < script.rows; ++i)
        for (int j = 0; j < script.columns; ++j) {
            const int row = p.rows[static_cast<std::size_t>(i)], column = p.columns[static_cast<std::size_t>(j)];
            wide.at(row, column) = script.at(i, j);
            if (i + 1 < script.rows && !bridge(wide, script.at(i, j), script.at(i + 1, j), row, column, true,
                                               p.rows[static_cast<std::size_t>(i) + 1] - row))
                return std::nullopt;
            if (j + 1 < script.columns && !bridge(wide, script.at(i, j), script.at(i, j + 1), row, column, false,
                                                  p.columns[static_cast<std::size_t>(j) + 1] - column))
                return std::nullopt;
        }
    return wide;
}

/// What the PEs of the program saw of a run on the whole mesh. Links are of other routers: not compared.
Outcome seen(const Script& script, const Outcome& wide, const Placement& p, int columns) {
    Outcome o = wide;
    o.links.clear();
    o.busy.clear();
    o.memory.clear();
    for (int i = 0; i < script.rows; ++i)
        for (int j = 0; j < script.columns; ++j) {
            const auto node = static_cast<std::size_t>(p.rows[static_cast<std::size_t>(i)] * columns +
                                                       p.columns[static_cast<std::size_t>(j)]);
            o.busy.push_back(wide.busy[node]);
            o.memory.push_back(wide.memory[node]);
        }
    return o;
}

void same_around_defects(const Recipe& recipe, int& compared) {
    const Script script = cook(recipe);
    const int rows = script.rows + 2, columns = script.columns + 2;
    const YieldMap map = YieldMap::random(rows, columns, 0.04, 0.02, recipe.seed);
    Placement p;
    try {
        p = place(map, script.rows, script.columns);
    } catch (const wb::Error&) {
        return;  // too many defects
    }
    const std::optional<Script> wide = widened(script, p, rows, columns);
    EngineOptions around;
    around.defects = map;
    if (!wide) {
        bool refused = false;
        try {
            run_engine(script, around);
        } catch (const wb::Error& e) {
            refused = std::string(e.what()).find("both ways") != std::string::npos;
        }
        RC_ASSERT(refused);
        return;
    }
    RC_LOG() << describe(*wide);
    const Outcome expected = seen(script, Oracle(*wide).run(), p, columns);
    Outcome got = run_engine(script, around);
    got.links.clear();
    const std::string text = difference(script, expected, got);
    if (!text.empty()) RC_FAIL(text);
    ++compared;
}

}  // namespace

TEST_CASE("random programs around defects: what the oracle does with routers in between") {
    int compared = 0;
    rc::detail::TestParams params = rc::detail::configuration().testParams;
    params.maxSuccess = 800;
    rc::detail::TestMetadata about;
    about.id = about.description = "around defects";
    const auto result = rc::detail::checkTestable([&] { same_around_defects(*recipes(), compared); }, about, params);
    rc::detail::printResultMessage(result, std::cerr);
    CHECK(result.is<rc::detail::SuccessResult>());
    MESSAGE(compared, " programs compared");
    CHECK(compared > 200);
}
