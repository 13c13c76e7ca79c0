#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "core/error.hpp"
#include "models/fabric/simulator.hpp"

using namespace wb;
using namespace wb::fabric;

namespace {

Mesh ideal(int rows, int columns) {
    Mesh m;
    m.rows = rows;
    m.columns = columns;
    m.sram_bytes = 48 * 1024;
    m.clock_hz = 1e9;
    return m;
}

Options on(int rows, int columns, const YieldMap& map) {
    Options o;
    o.rows = rows;
    o.columns = columns;
    o.defects = map;
    return o;
}

YieldMap map_of(int rows, int columns) {
    YieldMap m;
    m.rows = rows;
    m.columns = columns;
    return m;
}

std::string complaint(const Mesh& mesh, const Options& options, const Program& program) {
    try {
        Simulator(mesh, options).run(program);
    } catch (const Error& e) {
        return e.what();
    }
    return "";
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

constexpr std::uint32_t length = 20;

/// Chains the sum of all PEs west along the rows, then north along column 0; back by multicast.
Process allreduce(Pe& pe) {
    const Vec x = pe.alloc(Type::f32, length);
    for (std::uint32_t i = 0; i < length; ++i) pe.set(x, i, static_cast<float>(pe.row * pe.columns + pe.column + 1));
    const auto in = static_cast<Colour>(pe.column % 2), out = static_cast<Colour>(1 - in);
    const auto above = static_cast<Colour>(3 - pe.row % 2), below = static_cast<Colour>(5 - above);
    const bool east_end = pe.column + 1 == pe.columns, south_end = pe.row + 1 == pe.rows,
               root = pe.row + pe.column == 0;
    if (pe.column > 0) pe.route(out, Port::ramp, Port::west);
    if (!east_end) pe.route(in, Port::east, Port::ramp);
    if (pe.column == 0 && pe.row > 0) pe.route(above, Port::ramp, Port::north);
    if (pe.column == 0 && !south_end) pe.route(below, Port::south, Port::ramp);
    Ports on;
    if (!root) on = Port::ramp;
    if (pe.column == 0 && !south_end) on = on | Port::south;
    if (!east_end) on = on | Port::east;
    pe.route(4, root ? Port::ramp : pe.column == 0 ? Port::north : Port::west, on);
    if (east_end) {
        if (pe.column > 0) co_await pe.send(out, x);
    } else if (pe.column > 0) {
        co_await pe.recv_add_send(in, x, out);
    } else {
        co_await pe.recv_add(in, x);
    }
    if (pe.column == 0 && !south_end) co_await pe.recv_add(below, x);
    if (pe.column == 0 && pe.row > 0) co_await pe.send(above, x);
    if (root)
        co_await pe.send(4, x);
    else
        co_await pe.recv(4, x);
}

void sums_to_all(Simulator& s, int rows, int columns) {
    const int n = rows * columns;
    for (int r = 0; r < rows; ++r)
        for (int c = 0; c < columns; ++c)
            CHECK(s.pe(r, c).get({0, length}, length - 1) == static_cast<float>(n * (n + 1) / 2));
}

/// No defect is in the way of the placed mesh.
void check_clean(const YieldMap& map, const Placement& p) {
    const auto used = [](const std::vector<int>& lines, int line) {
        return std::find(lines.begin(), lines.end(), line) != lines.end();
    };
    for (const YieldMap::Place& d : map.pes) CHECK_FALSE((used(p.rows, d.row) && used(p.columns, d.column)));
    for (const YieldMap::Link& l : map.links)
        CHECK_FALSE((l.port == Port::east ? used(p.rows, l.row) : used(p.columns, l.column)));
}

}  // namespace

TEST_CASE("fabric: a mesh without a defect is placed as it is") {
    Simulator plain(ideal(4, 6), [] {
        Options o;
        o.rows = 4;
        o.columns = 6;
        return o;
    }());
    const Result without = plain.run(allreduce);
    Simulator spared(ideal(5, 8), on(4, 6, map_of(5, 8)));
    const Result with = spared.run(allreduce);
    CHECK(with.cycles == without.cycles);
    CHECK(with.hops == without.hops);
    CHECK(with.link_use == without.link_use);
    sums_to_all(spared, 4, 6);
}

TEST_CASE("fabric: a row left out costs a hop on the way up and one on the way down") {
    YieldMap map = map_of(5, 6);
    const std::uint64_t whole = Simulator(ideal(5, 6), on(4, 6, map)).run(allreduce).cycles;
    map.pes = {{2, 3}};
    Simulator s(ideal(5, 6), on(4, 6, map));
    CHECK(s.run(allreduce).cycles == whole + 2);
    sums_to_all(s, 4, 6);
    map.pes = {{0, 3}};  // at the edge nothing crosses it
    CHECK(Simulator(ideal(5, 6), on(4, 6, map)).run(allreduce).cycles == whole);
}

TEST_CASE("fabric: dead links take their row or column away") {
    YieldMap map = map_of(6, 71);
    map.links = {{1, 66, Port::east}, {3, 64, Port::south}};
    const Placement p = place(map, 5, 70);
    CHECK(p.rows == std::vector<int>{0, 2, 3, 4, 5});
    check_clean(map, p);
    for (const int threads : {1, 3}) {
        Options o = on(5, 70, map);
        o.threads = threads;
        Simulator s(ideal(6, 71), o);
        CHECK(s.run(allreduce).cycles == Simulator(ideal(6, 71), on(5, 70, map)).run(allreduce).cycles);
        sums_to_all(s, 5, 70);
    }
}

TEST_CASE("fabric: random defects are the same for a seed, and repaired") {
    const YieldMap map = YieldMap::random(40, 50, 0.01, 0.001, 7);
    CHECK(map.pes.size() > 5);
    CHECK(map.pes.size() < 50);
    const YieldMap again = YieldMap::random(40, 50, 0.01, 0.001, 7);
    CHECK(again.pes.size() == map.pes.size());
    CHECK(again.pes.back().column == map.pes.back().column);
    int placed = 0;
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        const YieldMap m = YieldMap::random(40, 50, 0.005, 0.0005, seed);
        check_clean(m, place(m, 24, 30));
        Simulator s(ideal(40, 50), on(24, 30, m));
        if (seed < 4) {
            s.run(allreduce);
            sums_to_all(s, 24, 30);
            ++placed;
        }
    }
    CHECK(placed == 4);
}

TEST_CASE("fabric: what a yield map cannot give is told in one sentence") {
    const auto nothing_to_do = [](Pe&) -> Process { co_return; };
    YieldMap map = map_of(3, 3);
    map.pes = {{1, 1}};
    CHECK(complaint(ideal(3, 3), on(3, 2, map), nothing_to_do) == "");
    CHECK(has(complaint(ideal(3, 3), on(3, 3, map), nothing_to_do), "spares do not suffice for 1 dead PEs"));
    CHECK(has(complaint(ideal(2, 3), on(2, 3, map), nothing_to_do), "3 x 3 PEs are asked"));
    map.pes = {{3, 0}};
    CHECK(has(complaint(ideal(3, 3), on(3, 2, map), nothing_to_do), "the defect at (3, 0) is outside"));
    map.pes = {{0, 1}};
    const std::string both = complaint(ideal(3, 3), on(3, 2, map), [](Pe& pe) -> Process {
        const Port other = pe.column == 0 ? Port::east : Port::west;
        pe.route(0, {Route{Port::ramp, other}, Route{other, Port::ramp}});
        co_return;
    });
    CHECK(has(both, "PE (0, 0): colour 0 goes both ways between it and PE (0, 1)"));
}
