// What the simulator says to programs that cannot go on, and to bad ones: one sentence with the PE, the colour, the
// amount.

#include <doctest/doctest.h>

#include <functional>

#include "core/error.hpp"
#include "tests/models/fabric/interpreter.hpp"
#include "tests/models/fabric/laws.hpp"

using namespace wb;
using namespace wb::fabric;
namespace test = wb::fabric::test;

namespace {

std::string error_of(const std::function<void()>& run) {
    try {
        run();
    } catch (const Error& e) {
        return e.what();
    }
    return "no error";
}

/// The error of running a program; the same for one and for two threads.
std::string error_of(const Mesh& mesh, int rows, int columns, const Program& program) {
    std::string texts[2];
    for (const int threads : {1, 2}) {
        Options how;
        how.rows = rows;
        how.columns = columns;
        how.threads = threads;
        texts[threads - 1] = error_of([&] { Simulator(mesh, how).run(program); });
    }
    CHECK(texts[0] == texts[1]);
    return texts[0];
}

bool has(const std::string& text, const std::string& part) {
    INFO(text);
    const bool found = text.find(part) != std::string::npos;
    CHECK_MESSAGE(found, "lacks \"" << part << "\"");
    return found;
}

/// One place, one problem: nothing spread over lines, and an end.
bool is_sentence(const std::string& text) {
    return text.find('\n') == std::string::npos && text.size() > 10 && text.size() < 1000 && text.back() == '.';
}

std::string deadlock_of(const test::Script& s) {
    const test::Outcome o = test::run_engine(s);
    CHECK(o.end == test::End::deadlock);
    CHECK(is_sentence(o.message));
    return o.message;
}

}  // namespace

TEST_CASE("a deadlock names the PEs and colours of the circle") {
    // Each waits for the other before it sends.
    test::Script s = test::blank(2, 3, test::ideal_mesh());
    test::Node &a = s.at(1, 1), &b = s.at(1, 2);
    a.routes = {{3, {{test::east, {test::ramp}}}, false}, {5, {{test::ramp, {test::east}}}, false}};
    b.routes = {{3, {{test::ramp, {test::west}}}, false}, {5, {{test::west, {test::ramp}}}, false}};
    test::receive(a, test::Kind::recv, 3, 4);
    test::send(a, 5, test::counting(a, 4));
    test::receive(b, test::Kind::recv, 5, 4);
    test::send(b, 3, test::counting(b, 4));
    const std::string text = deadlock_of(s);
    for (const char* part : {"(1, 1)", "(1, 2)", "colour 3", "colour 5"}) CHECK(has(text, part));
    CHECK(text.find("(0, ") == std::string::npos);
}

TEST_CASE("a deadlock by full buffers names the ring") {
    // Four PEs in a square send on clockwise what is too long for the buffers between them before they listen.
    test::Script s = test::blank(2, 2, test::ideal_mesh());
    const struct {
        int row, column;
        test::Side out, in;
        int sends, hears;
    } corners[] = {{0, 0, test::east, test::south, 7, 10},
                   {0, 1, test::south, test::west, 8, 7},
                   {1, 1, test::west, test::north, 9, 8},
                   {1, 0, test::north, test::east, 10, 9}};
    const auto build = [&](int b) {
        for (const auto& c : corners) {
            test::Node& node = s.at(c.row, c.column);
            node = {};
            node.routes = {{c.sends, {{test::ramp, {c.out}}}, false}, {c.hears, {{c.in, {test::ramp}}}, false}};
            test::send(node, c.sends, test::counting(node, b));
            test::receive(node, test::Kind::recv, c.hears, b);
        }
        return s;
    };
    CHECK(test::run_engine(build(12)).end == test::End::finished);
    const std::string text = deadlock_of(build(13));
    for (const char* part : {"(0, 0)", "(0, 1)", "(1, 0)", "(1, 1)", "colour 7", "colour 8", "colour 9", "colour 10"})
        CHECK(has(text, part));
}

TEST_CASE("a deadlock names who ended too early") {
    // PE 0 waits for a fourth wavelet; PE 1 has sent three and finished.
    test::Script s = test::message(2, 4, 2);
    s.at(0, 1).steps[0].a.count = 3;
    std::string text = deadlock_of(s);
    for (const char* part : {"(0, 0)", "(0, 1)", "colour 0", "finished"}) CHECK(has(text, part));
    // PE 1 cannot get rid of its message: PE 0 has heard three wavelets of it and finished.
    s = test::message(2, 40, 2);
    s.at(0, 0).steps[0].a.count = 3;
    text = deadlock_of(s);
    for (const char* part : {"(0, 0)", "(0, 1)", "colour 0", "finished"}) CHECK(has(text, part));
}

TEST_CASE("wavelets never received are counted") {
    test::Script s = test::message(3, 9, 2);
    s.at(0, 0).steps[0].a.count = 6;
    const test::Outcome o = test::run_engine(s);
    CHECK(o.end == test::End::never_received);
    CHECK(is_sentence(o.message));
    for (const char* part : {"3 wavelets", "colour 0", "(0, "}) CHECK(has(o.message, part));
}

TEST_CASE("a mesh larger than the machine's") {
    Mesh mesh = test::ideal_mesh();
    mesh.rows = 5;
    mesh.columns = 7;
    const auto build = [&](int rows, int columns) {
        Options how;
        how.rows = rows;
        how.columns = columns;
        return error_of([&] { Simulator simulator(mesh, how); });
    };
    CHECK(build(5, 7) == "no error");
    for (const auto& text : {build(6, 7), build(5, 8)}) {
        CHECK(is_sentence(text));
        CHECK(has(text, "5 x 7"));
    }
    CHECK(has(build(6, 7), "6 x 7"));
    CHECK_THROWS_AS(build(0, 3), ContractError);
    CHECK_THROWS_AS(build(3, -1), ContractError);
}

TEST_CASE("a 25th colour") {
    const auto last = [](Colour c) {
        return [c](Pe& pe) -> Process {
            const Vec v = pe.alloc(Type::f32, 1);
            pe.route(c, pe.column == 0 ? Port::ramp : Port::west, pe.column == 0 ? Port::east : Port::ramp);
            if (pe.column == 0) co_await pe.send(c, v);
            if (pe.column == 1) co_await pe.recv(c, v);
        };
    };
    const Mesh mesh = test::ideal_mesh();
    CHECK(error_of(mesh, 1, 2, last(23)) == "no error");
    const std::string text = error_of(mesh, 1, 2, last(24));
    CHECK(is_sentence(text));
    for (const char* part : {"(0, 0)", "colour 24", "24 colours"}) CHECK(has(text, part));
    const std::string sent =
        error_of(mesh, 1, 1, [](Pe& pe) -> Process { co_await pe.send(24, pe.alloc(Type::f32, 1)); });
    CHECK(has(sent, "colour 24"));
    const std::string heard =
        error_of(mesh, 1, 1, [](Pe& pe) -> Process { co_await pe.recv(255, pe.alloc(Type::f32, 1)); });
    CHECK(has(heard, "colour 255"));
}

TEST_CASE("SRAM fits at N bytes, overflows at one element more") {
    const Mesh mesh = test::ideal_mesh();
    const auto allocate = [](std::size_t words, std::size_t halves) {
        return [=](Pe& pe) -> Process {
            if (pe.row != 2 || pe.column != 1) co_return;
            pe.alloc(Type::f32, words);
            pe.alloc(Type::f16, halves);
        };
    };
    const auto words = static_cast<std::size_t>(mesh.sram_bytes) / 4;
    CHECK(error_of(mesh, 3, 3, allocate(words, 0)) == "no error");
    CHECK(error_of(mesh, 3, 3, allocate(words - 1, 2)) == "no error");
    for (const auto& text : {error_of(mesh, 3, 3, allocate(words, 1)), error_of(mesh, 3, 3, allocate(words + 1, 0)),
                             error_of(mesh, 3, 3, allocate(words - 1, 3))}) {
        CHECK(is_sentence(text));
        for (const char* part : {"(2, 1)", "SRAM", "4 bytes over", "hrink"}) CHECK(has(text, part));
    }
    CHECK(has(error_of(mesh, 3, 3, allocate(words - 1, 100)), "196 bytes over"));
    Options timing;
    timing.data = false;
    CHECK(has(error_of([&] {
                  Simulator(mesh, timing).run([&](Pe& pe) -> Process {
                      pe.alloc(Type::f32, words + 1);
                      co_return;
                  });
              }),
              "4 bytes over"));
}

TEST_CASE("a route to nowhere") {
    const Mesh mesh = test::ideal_mesh();
    const auto east = [](auto at_one) {
        return [=](Pe& pe) -> Process {
            if (pe.column == 0) pe.route(4, Port::ramp, Port::east);
            if (pe.column == 1) at_one(pe);
            co_return;
        };
    };
    const auto fine = [](Pe& pe) { pe.route(4, Port::west, Port::ramp); };
    CHECK(error_of(mesh, 1, 2, east(fine)) == "no error");
    const std::string texts[] = {
        error_of(mesh, 1, 1, east(fine)),                                                 // off the mesh
        error_of(mesh, 1, 2, east([](Pe&) {})),                                           // no route there
        error_of(mesh, 1, 2, east([](Pe& pe) { pe.route(5, Port::west, Port::ramp); })),  // of another colour
        error_of(mesh, 1, 2, east([](Pe& pe) { pe.route(4, Port::ramp, Port::ramp); })),  // from another side
    };
    for (const std::string& text : texts) {
        CHECK(is_sentence(text));
        for (const char* part : {"(0, 0)", "colour 4", "east", "nowhere"}) CHECK(has(text, part));
    }
    // A later position of the neighbour takes it: that is somewhere.
    CHECK(error_of(mesh, 1, 2, east([](Pe& pe) {
                       pe.route(4, {{Port::ramp, Port::ramp}, {Port::west, Port::ramp}});
                   })) == "no error");
    // And so must every position of its own lead somewhere.
    CHECK(has(error_of(mesh, 1, 1,
                       [](Pe& pe) -> Process {
                           pe.route(4, {{Port::ramp, Port::ramp}, {Port::ramp, Port::ramp | Port::north}});
                           co_return;
                       }),
              "north"));
}

TEST_CASE("routes are set once, before anything runs, with one to four positions") {
    const Mesh mesh = test::ideal_mesh();
    const Route loop{Port::ramp, Port::ramp};
    const auto text = [&](auto body) {
        const std::string t = error_of(mesh, 1, 1, [=](Pe& pe) -> Process { return body(pe); });
        CHECK(is_sentence(t));
        return t;
    };
    CHECK(has(text([=](Pe& pe) -> Process {
                  pe.route(1, {loop, loop, loop, loop, loop});
                  co_return;
              }),
              "position"));
    CHECK(has(text([](Pe& pe) -> Process {
                  pe.route(1, {});
                  co_return;
              }),
              "position"));
    CHECK(has(text([](Pe& pe) -> Process {
                  pe.route(1, Port::ramp, Port::ramp);
                  pe.route(1, Port::ramp, Port::ramp);
                  co_return;
              }),
              "twice"));
    CHECK(has(text([](Pe& pe) -> Process {
                  co_await pe.wait(3);
                  pe.route(1, Port::ramp, Port::ramp);
              }),
              "routes"));
    CHECK(has(text([](Pe& pe) -> Process {
                  pe.route(1, Port::ramp, Ports());
                  co_return;
              }),
              "colour 1"));
}

TEST_CASE("one receiver and one sender for each colour, no more asynchronous instructions than microthreads") {
    Mesh mesh = test::ideal_mesh();
    mesh.microthreads = 3;
    const auto many = [](int n, bool same) {
        return [=](Pe& pe) -> Process {
            for (int i = 0; i < n; ++i) {
                const auto colour = static_cast<Colour>(same ? 6 : i);
                if (!same || i == 0) pe.route(colour, Port::ramp, Port::ramp);
            }
            const Vec v = pe.alloc(Type::f32, 2);
            std::vector<Handle> handles;
            for (int i = 0; i < n; ++i) handles.push_back(pe.start(pe.recv(static_cast<Colour>(same ? 6 : i), v)));
            for (int i = 0; i < n; ++i) co_await pe.send(static_cast<Colour>(same ? 6 : i), v);
            for (Handle& h : handles) co_await h;
        };
    };
    CHECK(error_of(mesh, 1, 1, many(3, false)) == "no error");
    const std::string threads = error_of(mesh, 1, 1, many(4, false)), receivers = error_of(mesh, 1, 1, many(2, true));
    for (const std::string& text : {threads, receivers}) CHECK(is_sentence(text));
    for (const char* part : {"(0, 0)", "3", "microthreads"}) CHECK(has(threads, part));
    for (const char* part : {"(0, 0)", "two receivers", "colour 6"}) CHECK(has(receivers, part));
    const std::string senders = error_of(mesh, 1, 1, [](Pe& pe) -> Process {
        pe.route(9, Port::ramp, Port::ramp);
        const Vec v = pe.alloc(Type::f32, 2);
        const Handle h = pe.start(pe.send(9, v));
        co_await pe.send(9, v);
        co_await h;
    });
    for (const char* part : {"(0, 0)", "two senders", "colour 9"}) CHECK(has(senders, part));
    CHECK(is_sentence(error_of(mesh, 1, 1, [](Pe& pe) -> Process {
        const Handle h = pe.start(pe.compute({1, 5, 1}, [] {}));
        co_await h;
    })));
}

TEST_CASE("what a program throws comes out of the run") {
    const Mesh mesh = test::ideal_mesh();
    const auto inner = [](Pe& pe) -> Process {
        co_await pe.wait(5);
        throw std::runtime_error("from within");
    };
    Simulator simulator(mesh, {});
    CHECK_THROWS_WITH_AS(simulator.run([&](Pe& pe) -> Process { co_await inner(pe); }), "from within",
                         std::runtime_error);
}
