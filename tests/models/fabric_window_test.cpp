// Rows go through windows of cycles ahead of each other, and threads divide the rows: neither may show in a result.

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/error.hpp"
#include "models/fabric/simulator.hpp"

using namespace wb;
using namespace wb::fabric;

namespace {

Mesh machine() {
    Mesh m;
    m.rows = 64;
    m.columns = 70;
    m.sram_bytes = 48 * 1024;
    m.clock_hz = 1e9;
    m.vector_start_cycles = 2;
    m.task_start_cycles = 5;
    m.microthread_start_cycles = 3;
    return m;
}

/// Sums flow north, values spread south and east, all at once and at a pace of its own in every PE.
Process north_south_east(Pe& pe) {
    const bool top = pe.row == 0, bottom = pe.row + 1 == pe.rows, left = pe.column == 0;
    const bool right = pe.column + 1 == pe.columns;
    const auto south = static_cast<Colour>(0), east = static_cast<Colour>(1);
    const auto up = static_cast<Colour>(2 + pe.row % 2), from_below = static_cast<Colour>(5 - up);
    pe.route(south, top ? Port::ramp : Port::north,
             bottom ? Ports(Port::ramp)
             : top  ? Ports(Port::south)
                    : Port::ramp | Port::south);
    pe.route(east, left ? Port::ramp : Port::west,
             right  ? Ports(Port::ramp)
             : left ? Ports(Port::east)
                    : Port::ramp | Port::east);
    if (!top) pe.route(up, Port::ramp, Port::north);
    if (!bottom) pe.route(from_below, Port::south, Port::ramp);
    const Vec a = pe.alloc(Type::f32, 20), b = pe.alloc(Type::f32, 20), c = pe.alloc(Type::f32, 20);
    for (std::size_t i = 0; i < a.count; ++i) pe.set(a, i, static_cast<float>((7 * pe.row + 3 * pe.column) % 11));
    for (int round = 0; round < 3; ++round) {
        pe.phase("round " + std::to_string(round));
        co_await pe.wait(static_cast<std::uint32_t>((5 * pe.row + pe.column + round) % 13));
        const Handle down = pe.start(top ? pe.send(south, a) : pe.recv(south, b));
        const Handle row = pe.start(left ? pe.send(east, a) : pe.recv_add(east, c));
        co_await pe.compute({1, static_cast<double>(pe.row % 5), 1}, {});
        if (bottom)
            co_await pe.send(up, a);
        else if (top)
            co_await pe.recv_add(from_below, c);
        else
            co_await pe.recv_add_send(from_below, a, up);
        co_await down;
        co_await row;
    }
}

/// All that a run tells, as one list of numbers.
std::vector<double> all_of(int threads, int window) {
    Options o;
    o.rows = machine().rows;
    o.columns = machine().columns;
    o.threads = threads;
    o.window = window;
    Simulator simulator(machine(), o);
    const Result r = simulator.run(north_south_east);
    std::vector<double> all;
    for (const std::uint64_t n : {r.cycles, r.hops, r.injected, r.consumed}) all.push_back(static_cast<double>(n));
    all.insert(all.end(), r.link_use.begin(), r.link_use.end());
    all.insert(all.end(), r.busy.begin(), r.busy.end());
    for (const Phase& p : r.timeline)
        for (const std::uint64_t n : {p.begin, p.end, p.pe_cycles}) all.push_back(static_cast<double>(n));
    for (int row = 0; row < o.rows; ++row)
        for (int column = 0; column < o.columns; ++column)
            for (const std::uint32_t base : {0U, 80U, 160U})
                all.push_back(static_cast<double>(simulator.pe(row, column).get({base, 20, 1, Type::f32}, 19)));
    return all;
}

std::string error_of(const Program& program, int threads, int window) {
    Options o;
    o.rows = machine().rows;
    o.columns = machine().columns;
    o.threads = threads;
    o.window = window;
    try {
        Simulator(machine(), o).run(program);
    } catch (const Error& e) {
        return e.what();
    }
    return "no error";
}

/// The lower a PE the earlier it fails; all do.
Process mistaken(Pe& pe) {
    co_await pe.wait(static_cast<std::uint32_t>(100 - pe.row));
    co_await pe.send(24, nothing(1));
}

/// Messages go east, and the last is one too few.
Process starving(Pe& pe) {
    pe.route(0, pe.column == 0 ? Port::ramp : Port::west, pe.column + 1 == pe.columns ? Port::ramp : Port::east);
    if (pe.column == 0) co_await pe.wait(static_cast<std::uint32_t>(pe.row));
    if (pe.column == 0) co_await pe.send(0, nothing(9));
    if (pe.column + 1 == pe.columns) co_await pe.recv(0, nothing(10));
}

}  // namespace

TEST_CASE("fabric: windows and threads change nothing") {
    const std::vector<double> plain = all_of(1, 1);
    for (const int threads : {1, 2, 3, 4})
        for (const int window : {1, 2, 5, 16, 32}) {
            CAPTURE(threads);
            CAPTURE(window);
            CHECK(all_of(threads, window) == plain);
        }
}

TEST_CASE("fabric: of errors, the first cycle's is told") {
    for (const int threads : {1, 2, 3})
        for (const int window : {1, 7, 32})
            CHECK(error_of(mistaken, threads, window).find("PE (63, 0)") != std::string::npos);
}

TEST_CASE("fabric: a deadlock is told at the same cycle") {
    const std::string plain = error_of(starving, 1, 1);
    CHECK(plain.find("deadlock at cycle 1") != std::string::npos);
    for (const int threads : {1, 2, 3})
        for (const int window : {1, 7, 32}) CHECK(error_of(starving, threads, window) == plain);
}
