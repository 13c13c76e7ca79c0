#include "tests/models/emulation_cases.hpp"

#include "core/error.hpp"

using namespace emulated;

// T. Hoefler, T. Schneider, A. Lumsdaine: "LogGOPSim", LSAP 2010; run at revision 76451de with L=2500 o=1500 g=1000
// G=6 ns and schedules in which a unit sends round i once round i - 1 has arrived.
TEST_CASE("finish times are those of LogGOPSim") {
    CHECK(bare_ns(64, "ring") == 13'078'548);
    CHECK(bare_ns(256, "ring") == 15'335'700);
    CHECK(bare_ns(512, "ring") == 18'173'204);
    CHECK(bare_ns(1024, "ring") == 23'811'348);
    CHECK(bare_ns(64, "dissemination") == 37'781'700);
    CHECK(bare_ns(1024, "dissemination") == 62'969'500);
    CHECK(bare_ns(4096, "dissemination") == 75'563'400);
    CHECK(bare_ns(16384, "dissemination") == 88'157'300);
    CHECK(bare_ns(4096, "recursive-doubling") == 75'563'400);
}

// R. Thakur, R. Rabenseifner, W. Gropp: "Optimization of collective communication operations in MPICH", IJHPCA 2005.
TEST_CASE("without contention each algorithm takes what its closed form says") {
    const auto law = [](CollectiveKind kind, const std::string& algorithm, int n, double bytes) {
        const double rounds = std::ceil(std::log2(n)), hop = 2500 + 2 * 1500, byte = 6;
        const bool both = kind == CollectiveKind::allreduce;
        const auto message = [&](double b) { return hop + std::max(0.0, b - 1) * byte; };
        if (algorithm == "ring" && kind == CollectiveKind::send_recv) return message(bytes);
        if (algorithm == "ring") return (both ? 2 : 1) * (n - 1) * message(bytes / n);
        if (algorithm == "halving-doubling") return (both ? 2 : 1) * (rounds * hop + bytes * (n - 1) / n * byte);
        if (algorithm == "tree") return (both ? 2 : 1) * rounds * message(bytes);
        return rounds * message(bytes);  // recursive doubling, dissemination
    };
    int compared = 0;
    for (const CollectiveKind kind :
         {CollectiveKind::allreduce, CollectiveKind::allgather, CollectiveKind::reduce_scatter,
          CollectiveKind::broadcast, CollectiveKind::send_recv})
        for (const std::string algorithm : {"ring", "recursive-doubling", "halving-doubling", "dissemination", "tree"})
            for (const int n : {2, 8, 64, 512})
                for (const double bytes : {8e3, 1e6, 64e6}) {
                    if (!plays(kind, algorithm_from_name(algorithm))) continue;
                    CAPTURE(name(kind));
                    CAPTURE(algorithm);
                    CAPTURE(n);
                    CAPTURE(bytes);
                    const Finish f = played(program(stated(), bare_collective(kind, bytes, n), algorithm));
                    CHECK(off(static_cast<double>(f.time) / 1000, law(kind, algorithm, n, bytes)) <= 0.05);
                    ++compared;
                }
    CHECK(compared == 11 * 12);
}

TEST_CASE("a ring sends 2 n (n - 1) messages and a unit is small") {
    const auto comm = single_process();
    Engine engine(program(stated(), bare_collective(CollectiveKind::allreduce, 1 << 20, 512), "ring"), *comm);
    CHECK(engine.run().messages == 2 * 512 * 511);
    CHECK(engine.bytes_per_unit() < 4096);
}

TEST_CASE("virtual times do not depend on the number of ranks") {
    const System s = stated(4, outer_fabric);
    EmulationChoice shared;
    shared.uplink = BytesPerSecond(2e8);
    shared.faults = {{Fault::Kind::straggler, 3, 2.5, Seconds(0)}, {Fault::Kind::slow_link, 6, 3, Seconds(0)}};
    for (const EmulationChoice& choice : {EmulationChoice{}, shared}) {
        std::vector<Program> programs{program(s, small_training(4, 3, 5), "", choice)};
        for (const std::string algorithm : {"ring", "recursive-doubling", "halving-doubling", "dissemination", "tree"})
            programs.push_back(
                program(s, bare_collective(CollectiveKind::allreduce, 100'000, 16, algorithm), "", choice));
        programs.push_back(program(s, bare_collective(CollectiveKind::alltoall, 100'000, 13), "", choice));
        programs.push_back(program(s, bare_collective(CollectiveKind::broadcast, 100'000, 11, "chain"), "", choice));
        for (const Program& p : programs) {
            const std::string alone = told(p, 1);
            CHECK(told(p, 2) == alone);
            CHECK(told(p, 3) == alone);
            CHECK(told(p, 4) == alone);
        }
    }
}

TEST_CASE("what messages carry does not change when they arrive") {
    const System s = stated(4, outer_fabric);
    EmulationChoice shared;
    shared.uplink = BytesPerSecond(2e8);
    for (const EmulationChoice& choice : {EmulationChoice{}, shared}) {
        std::vector<Program> programs{program(s, small_training(4, 3, 5), "", choice)};
        programs.push_back(program(s, bare_collective(CollectiveKind::alltoall, 10'007, 13), "", choice));
        programs.push_back(program(s, bare_collective(CollectiveKind::allreduce, 10'007, 13, "ring"), "", choice));
        for (Program p : programs) {
            const std::string bare = told(p, 1);
            for (const Payload payload : {Payload::sized, Payload::full}) {
                p = stamped(p);
                p.payload = payload;
                CHECK(told(p, 1) == bare);
                CHECK(told(p, 3) == bare);
            }
        }
    }
}

TEST_CASE("stamped data arrive and add up, by any algorithm") {
    const System flat = stated(), domains = shipped("h100-sxm");
    for (const CollectiveKind kind :
         {CollectiveKind::allreduce, CollectiveKind::allgather, CollectiveKind::reduce_scatter,
          CollectiveKind::alltoall, CollectiveKind::broadcast, CollectiveKind::send_recv})
        for (const std::string& algorithm : algorithm_names()) {
            if (!plays(kind, algorithm_from_name(algorithm))) continue;
            for (const int units : {2, 3, 8, 13})
                for (const double bytes : {5.0, 1024.0, 10'007.0}) {
                    if (algorithm == "dissemination" && units != 2 && units != 8) continue;
                    CAPTURE(name(kind));
                    CAPTURE(algorithm);
                    CAPTURE(units);
                    CHECK(played(stamped(program(flat, bare_collective(kind, bytes, units), algorithm))).checked ==
                          units);
                }
        }
    for (const CollectiveKind kind :
         {CollectiveKind::allreduce, CollectiveKind::allgather, CollectiveKind::reduce_scatter,
          CollectiveKind::broadcast, CollectiveKind::alltoall})
        for (const int units : {16, 24, 40}) {
            CAPTURE(name(kind));
            CHECK(played(stamped(program(domains, bare_collective(kind, 10'007, units)))).checked == units);
        }
    // Of each of 24 units 5 + 1 collectives, and 5 messages for each of the second stage.
    CHECK(played(stamped(program(flat, small_training(4, 3, 5)))).checked == 24 * 6 + 12 * 5);
}

TEST_CASE("data that do not add up are found") {
    // Dissemination among 6 units adds some of them twice.
    const Program p = program(stated(), bare_collective(CollectiveKind::allreduce, 1000, 6), "dissemination");
    CHECK_THROWS_WITH_AS(played(stamped(p)), doctest::Contains("6 of 6 collectives and messages hold wrong data"),
                         Error);
}

TEST_CASE("units that share a way out take turns") {
    const System s = stated(8, outer_fabric);
    const StageSteps all = bare_collective(CollectiveKind::alltoall, 1 << 20, 32);
    EmulationChoice shared;
    const auto time = [&](double rate) {
        shared.uplink = BytesPerSecond(rate);
        return static_cast<double>(played(program(s, all, "", shared)).time) * 1e-12;
    };
    const double alone = static_cast<double>(played(program(s, all)).time) * 1e-12;
    CHECK(off(time(1e12), alone) <= 0.001);  // wide enough for all
    // 8 units send 24 of 32 blocks out of their domain, through one way.
    const double leaves = 8 * 24.0 / 32 * (1 << 20);
    CHECK(time(1e8) >= leaves / 1e8);
    CHECK(time(1e8) <= 1.1 * leaves / 1e8);
    double before = alone;
    for (const double rate : {1e9, 5e8, 2e8, 1e8, 5e7}) {
        CHECK(time(rate) >= before);
        before = time(rate);
    }
}

TEST_CASE("a way out of several domains is taken by what leaves all of them") {
    const System s = stated(8, outer_fabric);
    EmulationChoice shared;
    shared.uplink = BytesPerSecond(1e8);
    shared.uplink_units = 16;
    const auto time = [&](int units, const EmulationChoice& choice) {
        return static_cast<double>(
                   played(program(s, bare_collective(CollectiveKind::alltoall, 1 << 20, units), "", choice)).time) *
               1e-12;
    };
    CHECK(time(16, shared) == time(16, {}));  // two domains below one switch
    const double leaves = 16 * 16.0 / 32 * (1 << 20);
    CHECK(time(32, shared) >= leaves / 1e8);
    CHECK(time(32, shared) <= 1.1 * leaves / 1e8);
}

TEST_CASE("a straggler and a slow link delay all, by as much as they are on the way") {
    const System s = stated();
    const StageSteps steps = small_training(2, 2, 8);
    const double sound = static_cast<double>(played(program(s, steps)).time);
    EmulationChoice choice;
    choice.faults = {{Fault::Kind::straggler, 5, 2, Seconds(0)}};
    // Stage 1 takes 2 ms a microbatch, its straggler 4.
    CHECK(off(static_cast<double>(played(program(s, steps, "", choice)).time) - sound, 16e9) <= 0.05);
    const StageSteps ring = bare_collective(CollectiveKind::allreduce, 1 << 20, 64);
    const auto slowed = [&](double factor) {
        choice.faults = {{Fault::Kind::slow_link, 9, factor, Seconds(0)}};
        return played(program(s, ring, "ring", choice)).time;
    };
    CHECK(slowed(1) == 13'078'548'000);
    CHECK(slowed(3) > 2 * slowed(1));
    CHECK(slowed(3) < 3 * slowed(1));
}

TEST_CASE("a failed unit leaves the others waiting, and the timeline says for whom") {
    EmulationChoice choice;
    choice.faults = {{Fault::Kind::failed, 2, 1, Seconds(5e-3)}};
    const StageSteps ring = bare_collective(CollectiveKind::allreduce, 1 << 20, 8);
    const Program p = program(stated(), ring, "ring", choice);
    const Finish f = played(p, {2});
    CHECK(f.problem.find("unit 2 failed after 5.00 ms; 7 others wait for ever, first unit ") == 0);
    REQUIRE(f.stuck.size() == 8);
    CHECK(f.stuck[0].unit == 2);
    CHECK(f.stuck[0].source == -1);
    CHECK(f.stuck[0].since == 5'000'000'000);
    for (std::size_t i = 1; i < 8; ++i) CHECK(f.stuck[i].source == (f.stuck[i].unit + 7) % 8);
    REQUIRE(!f.marks.empty());
    CHECK(f.marks.back().end == 5'000'000'000);
    for (const int ranks : {2, 3, 4}) CHECK(told(p, ranks) == told(p, 1));
    choice.faults.front().at = Seconds(10);  // when all is done
    CHECK(played(program(stated(), ring, "ring", choice)).problem == "");
}

TEST_CASE("what fails while it waits sends no more") {
    // Stage 0 fails in its first compute: stage 1 gets nothing, and stage 0 itself is not called waiting.
    EmulationChoice choice;
    choice.faults = {{Fault::Kind::failed, 0, 1, Seconds(0.5e-3)}};
    const Finish f = played(program(stated(), small_training(1, 1, 4), "", choice));
    CHECK(f.problem == "unit 0 failed after 500 us; 1 others wait for ever, first unit 1 for unit 0 since 0 s");
    // Stage 1 fails while stage 0 still computes: nobody waits for it, its sends are gone.
    choice.faults = {{Fault::Kind::failed, 1, 1, Seconds(0.1e-3)}};
    CHECK(played(program(stated(), small_training(1, 1, 4), "", choice)).problem == "unit 1 failed after 100 us");
}

TEST_CASE("units that wait for each other are named") {
    StageSteps s;
    s.mapping.pipeline = 2;
    Step wait;
    wait.kind = Step::Kind::receive;
    wait.peer = 1;
    s.stages = {{wait}, {wait}};
    s.stages[1][0].peer = 0;
    CHECK_THROWS_WITH_AS(played(program(stated(), s)), doctest::Contains("wait for each other"), Error);
}
