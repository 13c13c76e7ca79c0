// Cases small enough to be worked out by hand. With ramps of T cycles, what a PE emits in cycle t may leave its router
// in cycle t + T + 1, and what leaves a router for the ramp in cycle t may be consumed in t + T: a message to the PE
// next door, emitted from cycle 0 on, leaves its router from T + 1 on, the next from T + 2, and is consumed from 2 T +
// 2 on.

#include <doctest/doctest.h>

#include "tests/models/fabric/compare.hpp"
#include "tests/models/fabric/interpreter.hpp"
#include "tests/models/fabric/laws.hpp"
#include "tests/models/fabric/oracle.hpp"

using namespace wb::fabric::test;

namespace {

/// Runs it on the oracle, which must agree with the simulator in both modes and with two and three threads.
Outcome run(const Script& script) {
    const Outcome o = Oracle(script).run();
    for (const int threads : {1, 2, 3})
        for (const bool data : {true, false}) {
            CAPTURE(threads);
            CAPTURE(data);
            CHECK(difference(script, o, run_engine(script, {data, threads})) == "");
        }
    return o;
}

/// A row in which every PE of the given colour has the same single route.
void lay(Script& s, int colour, int column, Side from, std::vector<Side> to) {
    s.at(0, column).routes.push_back({colour, {{from, std::move(to)}}, false});
}

std::uint32_t link(const Outcome& o, int column, Side side) {
    return o.links[static_cast<std::size_t>(5 * column + side)];
}

}  // namespace

TEST_CASE("two colours on one link alternate") {
    // PE 2 sends colour 0 through PE 1, which sends colour 1, both to PE 0. Colour 1 is in router 1 in cycle 3,
    // colour 0 (3 cycles of ramp, one hop) in cycle 4. Colour 1 has the link in cycle 3; in cycle 4, even, colour 0
    // comes first; in cycle 5 colour 1, and so on: 2 b wavelets in cycles 3 to 2 b + 2 without a gap. The last is in
    // router 0 in cycle 2 b + 3, consumed in 2 b + 5: the end is 2 b + 6.
    for (const int b : {1, 4, 25}) {
        Script s = blank(1, 3, ideal_mesh(2));
        lay(s, 0, 2, ramp, {west});
        lay(s, 0, 1, east, {west});
        lay(s, 0, 0, east, {ramp});
        lay(s, 1, 1, ramp, {west});
        lay(s, 1, 0, east, {ramp});
        send(s.at(0, 2), 0, counting(s.at(0, 2), b));
        send(s.at(0, 1), 1, counting(s.at(0, 1), b));
        receive(s.at(0, 0), Kind::recv, 0, b).async = true;
        receive(s.at(0, 0), Kind::recv, 1, b);
        const Outcome o = run(s);
        CHECK(o.cycles == static_cast<std::uint64_t>(2 * b + 6));
        CHECK(o.hops == static_cast<std::uint64_t>(3 * b));
        CHECK(link(o, 1, west) == static_cast<std::uint32_t>(2 * b));
        CHECK(link(o, 0, ramp) == static_cast<std::uint32_t>(2 * b));
    }
}

TEST_CASE("three colours on one link take turns by the cycle") {
    // The PEs north, east and south of the centre (1, 1) send b wavelets each through it to (1, 0). All are in the
    // centre's queues from cycle T + 2 = 4 on; the link west carries one wavelet a cycle without a gap from cycle 4 to
    // 3 + 3 b; consumed 1 + T later: the end is 3 b + 7.
    const int b = 10;
    Script s = blank(3, 3, ideal_mesh(2));
    const struct {
        int row, column;
        Side out, in;
    } arms[] = {{0, 1, south, north}, {1, 2, west, east}, {2, 1, north, south}};
    int colour = 5;
    for (const auto& arm : arms) {
        Node& node = s.at(arm.row, arm.column);
        node.routes = {{colour, {{ramp, {arm.out}}}, false}};
        s.at(1, 1).routes.push_back({colour, {{arm.in, {west}}}, false});
        s.at(1, 0).routes.push_back({colour, {{east, {ramp}}}, false});
        send(node, colour, counting(node, b));
        receive(s.at(1, 0), Kind::recv, colour, b).async = true;
        ++colour;
    }
    const Outcome o = run(s);
    CHECK(o.cycles == 3 * b + 7);
    CHECK(o.links[(3 + 1) * 5 + west] == 3 * b);
}

TEST_CASE("back-pressure fills two slots for each router and T + 2 of each port") {
    // Until PE 0 listens, colour 0 fills the out-port of the sender (T + 2), p queues of 2 and the in-port of PE 0
    // (T + 2). PE 0 listens only after it has heard colour 1, which is sent after colour 0: with one wavelet more than
    // there is room for, neither ever comes.
    for (const int t : {1, 2, 3, 4})
        for (const int p : {2, 3, 6}) {
            CAPTURE(t);
            CAPTURE(p);
            const int room = 2 * p + 2 * (t + 2);
            const auto script = [&](int b) {
                Script s = blank(1, p, ideal_mesh(t));
                for (int i = 0; i < p; ++i)
                    for (const int c : {0, 1}) lay(s, c, i, i == p - 1 ? ramp : east, {i == 0 ? ramp : west});
                send(s.at(0, p - 1), 0, counting(s.at(0, p - 1), b));
                send(s.at(0, p - 1), 1, counting(s.at(0, p - 1), 1));
                receive(s.at(0, 0), Kind::recv, 1, 1);
                receive(s.at(0, 0), Kind::recv, 0, b);
                return s;
            };
            // Colour 1 follows in cycle b at the earliest, and meets no colour 0 that still moves but on full queues;
            // what stands in the queues then drains one a cycle.
            CHECK(run(script(room)).end == End::finished);
            CHECK(run(script(room + 1)).end == End::deadlock);
        }
}

TEST_CASE("what back-pressure has held drains one wavelet a cycle") {
    // PE 0 begins to listen in cycle 50, when 2 x 2 + 2 x 4 = 12 of the 30 wavelets stand in queues and ports. Of its
    // in-port four are ready; room seen at 51 refills it by 53, before they are gone at 54: no gap, 30 cycles.
    Script s = blank(1, 2, ideal_mesh(2));
    lay(s, 0, 1, ramp, {west});
    lay(s, 0, 0, east, {ramp});
    send(s.at(0, 1), 0, counting(s.at(0, 1), 30));
    wait(s.at(0, 0), 50);
    receive(s.at(0, 0), Kind::recv, 0, 30);
    CHECK(run(s).cycles == 80);
}

TEST_CASE("a multicast waits for its slowest branch") {
    // PE 1 sends 20 wavelets to PE 0 and PE 2 at once. PE 2 listens from the start, PE 0 from cycle 100: its branch
    // holds 2 + 4, so PE 2 has 6 by then. Room in the in-port of PE 0 is seen at 101, in its queue at 102: the 7th
    // leaves PE 1 in 102, and is consumed by PE 2 in 103 + T = 105, the 20th in 118. PE 0 consumes in 100 ... 119
    // without a gap. With 100 cycles of work after that, PE 2 ends at 119 + 100.
    Script s = blank(1, 3, ideal_mesh(2));
    lay(s, 0, 1, ramp, {west, east});
    lay(s, 0, 0, east, {ramp});
    lay(s, 0, 2, west, {ramp});
    send(s.at(0, 1), 0, counting(s.at(0, 1), 20));
    wait(s.at(0, 0), 100);
    receive(s.at(0, 0), Kind::recv, 0, 20);
    receive(s.at(0, 2), Kind::recv, 0, 20);
    CHECK(run(s).cycles == 120);
    compute(s.at(0, 2), 100);
    const Outcome o = run(s);
    CHECK(o.cycles == 219);
    CHECK(o.injected == 20);
    CHECK(o.consumed == 40);
    CHECK(o.hops == 40);
}

TEST_CASE("the laws of Luczynski et al. (HPDC 2024)") {
    for (const int t : {1, 2, 4})
        for (const int p : {2, 3, 7})
            for (const int b : {1, 2, 9, 40}) {
                CAPTURE(t);
                CAPTURE(p);
                CAPTURE(b);
                CHECK(run(message(p, b, t)).cycles == static_cast<std::uint64_t>(b + p + 2 * t));
                CHECK(run(chain(p, b, t)).cycles == static_cast<std::uint64_t>(b + (2 * t + 2) * (p - 1)));
                // The star's law, B (P - 1) + 2 T + 2 when counted to the end of the last cycle, and one cycle for
                // each of the P - 2 switches: the next PE's first wavelet comes in when the last of a router's own
                // has left, and goes on a cycle later.
                const Outcome o = run(star(p, b, t));
                CHECK(o.cycles == static_cast<std::uint64_t>(b * (p - 1) + 2 * t + 2 + p - 2));
                CHECK(o.memory[0][0][0] == static_cast<float>(p * (p + 1) / 2));
            }
}

TEST_CASE("arithmetic on what arrives delays a compute by a cycle each; plain receives do not") {
    // Ten wavelets are consumed in cycles 6 to 15, in the midst of 50 cycles of work.
    const auto script = [](Kind kind, int work) {
        Script s = blank(1, 2, ideal_mesh(2));
        lay(s, 0, 1, ramp, {west});
        lay(s, 0, 0, east, {ramp});
        send(s.at(0, 1), 0, counting(s.at(0, 1), 10));
        receive(s.at(0, 0), kind, 0, 10).async = true;
        compute(s.at(0, 0), work);
        return s;
    };
    const Outcome added = run(script(Kind::recv_add, 50)), stored = run(script(Kind::recv, 50));
    CHECK(added.cycles == 60);
    CHECK(added.busy[0] == 60);
    CHECK(stored.cycles == 50);
    CHECK(stored.busy[0] == 50);
    // Work that ends at 8 without them loses cycles 6, 7 and, having to make these up, 8 to 15 too: it ends at 18.
    CHECK(run(script(Kind::recv_add, 8)).cycles == 18);
    // Work of 6 cycles is over before the first arrives.
    CHECK(run(script(Kind::recv_add, 6)).cycles == 16);
}

TEST_CASE("a PE has one datapath and one way out") {
    const int b = 15;
    Script s = blank(1, 3, ideal_mesh(2));
    for (const int c : {0, 1}) {
        const int outer = 2 * c;
        lay(s, c, outer, ramp, {outer == 0 ? east : west});
        lay(s, c, 1, outer == 0 ? west : east, {ramp});
        send(s.at(0, outer), c, counting(s.at(0, outer), b));
    }
    // Both streams share the ramp into PE 1, one wavelet a cycle from cycle 4 on, alternating: the last of 2 b leaves
    // the router in cycle 3 + 2 b, is consumed in 5 + 2 b. Plain or arithmetic, one a cycle is enough.
    for (const Kind kind : {Kind::recv, Kind::recv_add}) {
        Script both = s;
        receive(both.at(0, 1), kind, 0, b).async = true;
        receive(both.at(0, 1), kind, 1, b);
        CHECK(run(both).cycles == 2 * b + 6);
    }
    // When PE 1 begins at 20, four wavelets of each colour stand ready in its ports. Stored, one of each goes in a
    // cycle: 4 cycles; added up, one goes after the other: 8.
    for (const bool adds : {false, true}) {
        Script late = blank(1, 3, ideal_mesh(2));
        for (const int c : {0, 1}) {
            late.at(0, 2 * c).routes = s.at(0, 2 * c).routes;
            send(late.at(0, 2 * c), c, counting(late.at(0, 2 * c), 4));
        }
        late.at(0, 1).routes = s.at(0, 1).routes;
        wait(late.at(0, 1), 20);
        receive(late.at(0, 1), adds ? Kind::recv_add : Kind::recv, 0, 4).async = true;
        receive(late.at(0, 1), adds ? Kind::recv_add : Kind::recv, 1, 4);
        CHECK(run(late).cycles == (adds ? 28 : 24));
    }
    // One wavelet out in a cycle: the send begun first has its b cycles, then the other: emitted until 2 b - 1,
    // consumed 2 T + 2 = 6 later.
    Script out = blank(1, 3, ideal_mesh(2));
    lay(out, 0, 1, ramp, {west});
    lay(out, 1, 1, ramp, {east});
    lay(out, 0, 0, east, {ramp});
    lay(out, 1, 2, west, {ramp});
    send(out.at(0, 1), 0, counting(out.at(0, 1), b)).async = true;
    send(out.at(0, 1), 1, counting(out.at(0, 1), b));
    receive(out.at(0, 0), Kind::recv, 0, b);
    receive(out.at(0, 2), Kind::recv, 1, b);
    CHECK(run(out).cycles == 2 * b + 6);
}

TEST_CASE("start-up costs come before the first wavelet") {
    // Of a message of b wavelets to the PE next door, b + 6 cycles, only the sender's start counts: the receiver's
    // passes while the wavelets travel, as long as it takes no more than the 6 cycles of the way.
    const int b = 9;
    Script s = message(2, b, 2);
    s.mesh.vector_start_cycles = 3;
    CHECK(run(s).cycles == b + 6 + 3);
    s.mesh.microthread_start_cycles = 7;
    CHECK(run(s).cycles == b + 6 + 3);
    s.at(0, 1).steps[0].async = true;
    CHECK(run(s).cycles == b + 6 + 3 + 7);
    s.mesh.task_start_cycles = 11;
    s.at(0, 1).steps.insert(s.at(0, 1).steps.begin(), Step{Kind::task});
    CHECK(run(s).cycles == b + 6 + 3 + 7 + 11);
    // A receiver that starts late consumes from its in-port and the queues without a gap.
    s = message(2, b, 2);
    s.mesh.microthread_start_cycles = 40;
    s.at(0, 0).steps[0].async = true;
    CHECK(run(s).cycles == 40 + b);
}

TEST_CASE("a wavelet behind the control wavelet takes the next position") {
    // PE 2 sends one wavelet with the flag, then one without. Router 1 hands the first to its PE, the second on to
    // PE 0: emitted in cycle 1, over two hops: consumed in 1 + T + 1 + 2 + T = 8.
    Script s = blank(1, 3, ideal_mesh(2));
    lay(s, 0, 2, ramp, {west});
    s.at(0, 1).routes = {{0, {{east, {ramp}}, {east, {west}}}, false}};
    lay(s, 0, 0, east, {ramp});
    send(s.at(0, 2), 0, counting(s.at(0, 2), 1), true);
    send(s.at(0, 2), 0, counting(s.at(0, 2), 1, 5));
    receive(s.at(0, 1), Kind::recv, 0, 1);
    receive(s.at(0, 0), Kind::recv, 0, 1);
    const Outcome o = run(s);
    CHECK(o.cycles == 9);
    CHECK(o.memory[1][0][0] == 1);
    CHECK(o.memory[0][0][0] == 5);
}

TEST_CASE("a ring of positions comes round again") {
    // PE 2 deals single wavelets in turn to PE 1 and PE 0, each with the flag, six in all.
    Script s = blank(1, 3, ideal_mesh(2));
    lay(s, 0, 2, ramp, {west});
    s.at(0, 1).routes = {{0, {{east, {ramp}}, {east, {west}}}, true}};
    lay(s, 0, 0, east, {ramp});
    const View deck = counting(s.at(0, 2), 6);
    for (int i = 0; i < 6; ++i) send(s.at(0, 2), 0, {deck.region, i, 1, 1}, true);
    receive(s.at(0, 1), Kind::recv, 0, 3);
    receive(s.at(0, 0), Kind::recv, 0, 3);
    const Outcome o = run(s);
    CHECK(o.memory[1][0] == std::vector<float>{1, 3, 5});
    CHECK(o.memory[0][0] == std::vector<float>{2, 4, 6});
    // One a cycle, as a switch does not stop a stream that goes on from the same port: the sixth is emitted in
    // cycle 5, consumed at PE 0 in 5 + 7.
    CHECK(o.cycles == 13);
}

TEST_CASE("f16 goes two to a wavelet, an odd tail padded") {
    Script s = blank(1, 2, ideal_mesh(2));
    lay(s, 0, 1, ramp, {west});
    lay(s, 0, 0, east, {ramp});
    send(s.at(0, 1), 0, counting(s.at(0, 1), 7, 0.5F, true));
    const View all = counting(s.at(0, 0), 8, 0, true);
    receive(s.at(0, 0), Kind::recv, 0, {all.region, 0, 1, 7});
    const Outcome o = run(s);
    CHECK(o.injected == 4);
    CHECK(o.cycles == 4 + 2 + 4);
    CHECK(o.memory[0][0] == std::vector<float>{0.5, 1, 1.5, 2, 2.5, 3, 3.5, 0});
}
