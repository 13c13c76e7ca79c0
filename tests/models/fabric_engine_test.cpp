#include <doctest/doctest.h>

#include <functional>
#include <string>

#include "core/error.hpp"
#include "models/fabric/simulator.hpp"

using namespace wb;
using namespace wb::fabric;

namespace {

/// The ideal machine of the published laws.
Mesh ideal(int rows = 8, int columns = 64) {
    Mesh m;
    m.rows = rows;
    m.columns = columns;
    m.sram_bytes = 48 * 1024;
    m.clock_hz = 1e9;
    return m;
}

Options shape(int rows, int columns) {
    Options o;
    o.rows = rows;
    o.columns = columns;
    return o;
}

/// What the program's Error says; empty if it ran.
std::string complaint(const Mesh& mesh, const Options& options, const Program& program) {
    try {
        Simulator(mesh, options).run(program);
    } catch (const Error& e) {
        return e.what();
    }
    return "";
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// PE 0 of a row sends `count` to the last, all others only route.
Process message(Pe& pe, std::size_t count) {
    const Vec x = pe.alloc(Type::f32, count);
    if (pe.column == 0) {
        pe.route(1, Port::ramp, Port::east);
        for (std::size_t i = 0; i < count; ++i) pe.set(x, i, static_cast<float>(i));
        co_await pe.send(1, x);
    } else if (pe.column + 1 < pe.columns) {
        pe.route(1, Port::west, Port::east);
    } else {
        pe.route(1, Port::west, Port::ramp);
        co_await pe.recv(1, x);
    }
}

/// The sum over a row into column 0, PE by PE; two colours in turns.
Process chain(Pe& pe, std::size_t count) {
    const Vec x = pe.alloc(Type::f32, count);
    for (std::size_t i = 0; i < count; ++i) pe.set(x, i, static_cast<float>(pe.column + 1));
    const auto in = static_cast<Colour>(pe.column % 2), out = static_cast<Colour>(1 - in);
    if (pe.column > 0) pe.route(out, Port::ramp, Port::west);
    if (pe.column + 1 < pe.columns) pe.route(in, Port::east, Port::ramp);
    if (pe.column + 1 == pe.columns)
        co_await pe.send(out, x);
    else if (pe.column > 0)
        co_await pe.recv_add_send(in, x, out);
    else
        co_await pe.recv_add(in, x);
}

}  // namespace

TEST_CASE("fabric: one message of B over P PEs takes B + P + 2 T_R cycles") {
    for (const int ramp : {1, 2, 7})
        for (const int p : {2, 3, 64})
            for (const std::size_t b : {1, 2, 100}) {
                Mesh mesh = ideal();
                mesh.ramp_cycles = ramp;
                Simulator s(mesh, shape(1, p));
                const Result r = s.run([b](Pe& pe) { return message(pe, b); });
                CHECK(r.cycles == b + static_cast<std::size_t>(p + 2 * ramp));
                CHECK(r.hops == b * static_cast<std::size_t>(p - 1));
                CHECK(r.injected == b);
                CHECK(r.consumed == b);
                CHECK(s.pe(0, p - 1).get({0, static_cast<std::uint32_t>(b)}, b - 1) == static_cast<float>(b - 1));
            }
}

TEST_CASE("fabric: a pipelined chain takes B + (2 T_R + 2)(P - 1) cycles, and adds") {
    for (const int p : {2, 5, 64})
        for (const std::size_t b : {1, 37, 256}) {
            Simulator s(ideal(), shape(1, p));
            const Result r = s.run([b](Pe& pe) { return chain(pe, b); });
            CHECK(r.cycles == b + static_cast<std::size_t>(6 * (p - 1)));
            CHECK(s.pe(0, 0).get({0, static_cast<std::uint32_t>(b)}, b - 1) == static_cast<float>(p * (p + 1) / 2));
        }
}

TEST_CASE("fabric: timing alone gives the cycles of the run with data") {
    Options o = shape(3, 20);
    const Result with = Simulator(ideal(), o).run([](Pe& pe) { return chain(pe, 50); });
    o.data = false;
    const Result without = Simulator(ideal(), o).run([](Pe& pe) { return chain(pe, 50); });
    CHECK(with.cycles == without.cycles);
    CHECK(with.link_use == without.link_use);
    CHECK(with.busy == without.busy);
}

TEST_CASE("fabric: start-up costs of vector instructions, tasks and microthreads") {
    Mesh mesh = ideal();
    mesh.vector_start_cycles = 5;
    mesh.task_start_cycles = 11;
    mesh.microthread_start_cycles = 3;
    const auto cycles = [&](const Program& p) { return Simulator(mesh, shape(1, 1)).run(p).cycles; };
    CHECK(cycles([](Pe& pe) -> Process { co_await pe.task(); }) == 11);
    CHECK(cycles([](Pe& pe) -> Process { co_await pe.compute({2, 8, 1.5}, {}); }) == 2 * 5 + 24);
    CHECK(cycles([](Pe& pe) -> Process { co_await pe.compute({1, 3, 0.25}, {}); }) == 6);
    CHECK(cycles([](Pe& pe) -> Process { co_await pe.send(0, nothing(0)); }) == 5);
    // To itself over the ramp: emitted from cycle 8 on, in the queue at 11, back at 13.
    CHECK(cycles([](Pe& pe) -> Process {
              pe.route(0, Port::ramp, Port::ramp);
              const Vec x = pe.alloc(Type::f32, 4);
              const Handle sent = pe.start(pe.send(0, x));
              co_await pe.recv(0, x);
              co_await sent;
          }) == 13 + 4);
}

TEST_CASE("fabric: mistakes of a program are told in one sentence") {
    const auto runs = [](Process (*p)(Pe&), int columns = 2) { return complaint(ideal(), shape(1, columns), p); };
    CHECK(has(complaint(ideal(), shape(9, 1), [](Pe&) -> Process { co_return; }), "9 x 1 PEs are asked"));
    CHECK(runs([](Pe& pe) -> Process {
              (void)pe.alloc(Type::f16, 24 * 1024);
              co_return;
          }) == "");
    CHECK(has(runs([](Pe& pe) -> Process {
                  (void)pe.alloc(Type::f16, 24 * 1024 + 1);
                  co_return;
              }),
              "PE (0, 0): SRAM overflow, 4 bytes over"));
    CHECK(has(runs([](Pe& pe) -> Process {
                  pe.route(24, Port::ramp, Port::ramp);
                  co_return;
              }),
              "24 colours"));
    CHECK(has(runs([](Pe& pe) -> Process {
                  pe.route(0, Port::ramp, Port::east);
                  co_return;
              }),
              "route to nowhere: colour 0 goes east"));
    CHECK(has(runs([](Pe& pe) -> Process {
                  if (pe.column == 0) pe.route(0, Port::ramp, Port::east);
                  if (pe.column == 1) pe.route(0, Port::ramp, Port::ramp);
                  co_return;
              }),
              "PE (0, 0): route to nowhere"));
    CHECK(has(runs([](Pe& pe) -> Process {
                  const Handle a = pe.start(pe.recv(3, nothing(1)));
                  co_await pe.recv(3, nothing(1));
                  co_await a;
              }),
              "two receivers on colour 3"));
    CHECK(has(runs([](Pe& pe) -> Process {
                  std::vector<Handle> all;
                  for (Colour c = 0; c < 9; ++c) all.push_back(pe.start(pe.recv(c, nothing(1))));
                  co_await all[0];
              }),
              "more than 8 asynchronous"));
    CHECK(has(runs([](Pe& pe) -> Process {
                  co_await pe.wait(1);
                  pe.route(0, Port::ramp, Port::ramp);
              }),
              "routes are static"));
}

TEST_CASE("fabric: wavelets nobody receives are an error") {
    const std::string says = complaint(ideal(), shape(1, 1), [](Pe& pe) -> Process {
        pe.route(2, Port::ramp, Port::ramp);
        co_await pe.send(2, nothing(3));
    });
    CHECK(has(says, "3 wavelets never received"));
    CHECK(has(says, "colour 2 at PE (0, 0)"));
}

TEST_CASE("fabric: a deadlock names the PEs and colours of its circle") {
    // Each of two PEs receives from the other before it sends.
    const std::string says = complaint(ideal(), shape(1, 2), [](Pe& pe) -> Process {
        const auto mine = static_cast<Colour>(pe.column), other = static_cast<Colour>(1 - pe.column);
        pe.route(mine, Port::ramp, pe.column == 0 ? Port::east : Port::west);
        pe.route(other, pe.column == 0 ? Port::east : Port::west, Port::ramp);
        co_await pe.recv(other, nothing(1));
        co_await pe.send(mine, nothing(1));
    });
    CHECK(has(says, "deadlock at cycle 0"));
    CHECK(has(says, "2 PEs wait, in a circle"));
    CHECK(has(says, "PE (0, 0) waits to receive colour 1"));
    CHECK(has(says, "PE (0, 1) waits to receive colour 0"));
    CHECK(has(complaint(ideal(), shape(1, 2),
                        [](Pe& pe) -> Process {
                            if (pe.column == 1) co_return;
                            pe.route(5, Port::ramp, Port::ramp);
                            co_await pe.recv(5, nothing(1));
                        }),
              "1 PE waits"));
}
