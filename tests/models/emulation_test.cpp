#include <doctest/doctest.h>

#include <rapidcheck.h>

#include <thread>

#include "core/backend.hpp"
#include "core/error.hpp"
#include "core/tables.hpp"
#include "core/workload.hpp"
#include "models/collective_time.hpp"
#include "models/emulation/engine.hpp"
#include "models/emulation/machine.hpp"
#include "models/pipeline_schedule.hpp"
#include "models/timeline.hpp"
#include "tests/kernels/thread_comm.hpp"

namespace wb {
std::unique_ptr<Backend> make_cluster();
std::unique_ptr<Backend> make_emulation();
}  // namespace wb

using namespace wb;
using namespace wb::emulation;

namespace {

const std::string configs = std::string(WB_SOURCE_DIR) + "/configs";

System shipped(const std::string& id) { return load_system(configs + "/systems/" + id + ".toml"); }

/// A machine that states LogGP parameters; domains of `joined` units.
System stated(int joined = 16384, const std::string& second = "") {
    std::string text = R"(title = "LogGP"
kind = "cluster"
[sources]
s = "parameters of the published runs"
[unit]
name = "GPU"
[unit.peak]
f32 = { value = "1 TFLOP/s", source = "s" }
[[unit.memory]]
name = "memory"
capacity = { value = "80 GB", source = "s" }
bandwidth = { value = "1 TB/s", source = "s" }
[[fabric]]
name = "inner"
topology = "switch"
units = { value = JOINED, source = "s" }
bandwidth = { value = "1 GB/s", source = "s" }
SECOND
[fitted]
message_latency = { value = "2500 ns", source = "s" }
message_overhead_time = { value = "1500 ns", source = "s" }
message_gap_time = { value = "1000 ns", source = "s" }
message_byte_time = { value = "6 ns", source = "s" }
)";
    text.replace(text.find("JOINED"), 6, std::to_string(joined));
    text.replace(text.find("SECOND"), 6, second);
    return parse_system(text, "loggp.toml", "loggp");
}

const std::string outer_fabric = R"([[fabric]]
name = "outer"
topology = "fat_tree"
units = { value = 4096, source = "s" }
bandwidth = { value = "1 GB/s", source = "s" })";

Program program(const System& s, const StageSteps& steps, const std::string& algorithm = "",
                const EmulationChoice& choice = {}) {
    return Machine(s, steps.mapping).compile(steps, choice, algorithm);
}

doctest::Approx near(double value, double epsilon) { return doctest::Approx(value).epsilon(epsilon).scale(0); }

Finish played(const Program& p, std::vector<int> watched = {}) {
    return Engine(p, *single_process(), std::move(watched)).run();
}

Time bare_ns(int units, const std::string& algorithm, CollectiveKind kind = CollectiveKind::allreduce) {
    const Finish f = played(program(stated(), bare_collective(kind, 1 << 20, units), algorithm));
    CHECK(f.time % 1000 == 0);
    return f.time / 1000;
}

/// What `ranks` threads make of a program: finish, messages and all marks of all units, as text.
std::string told(const Program& p, int ranks) {
    Team team(ranks);
    std::vector<int> everyone;
    for (int u = 0; u < p.units; ++u) everyone.push_back(u);
    std::string text;
    std::vector<std::int64_t> messages(static_cast<std::size_t>(ranks), 0);
    std::vector<std::thread> threads;
    for (int r = 0; r < ranks; ++r)
        threads.emplace_back([&, r] {
            ThreadComm comm(team, r);
            const Finish f = Engine(p, comm, everyone).run();
            messages[static_cast<std::size_t>(r)] = f.messages;
            if (r > 0) return;
            text = std::to_string(f.time);
            for (const Mark& m : f.marks)
                text += "\n" + std::to_string(m.unit) + " " + std::to_string(m.step) + " " + std::to_string(m.start) +
                        " " + std::to_string(m.end);
        });
    for (std::thread& t : threads) t.join();
    std::int64_t all = 0;
    for (const std::int64_t m : messages) all += m;
    return text + "\nmessages " + std::to_string(all);
}

/// Two stages that hand microbatches on, sum over tensor ranks and replicas.
StageSteps small_training(int tensor, int data, int microbatches) {
    StageSteps s;
    s.mapping.tensor = tensor;
    s.mapping.data = data;
    s.mapping.pipeline = 2;
    s.stages.resize(2);
    const auto step = [](Step::Kind kind, double seconds, double bytes) {
        Step x;
        x.kind = kind;
        x.seconds = seconds;
        x.bytes = bytes;
        x.operation = CollectiveKind::allreduce;
        return x;
    };
    for (int m = 0; m < microbatches; ++m)
        for (int stage = 0; stage < 2; ++stage) {
            auto& list = s.stages[static_cast<std::size_t>(stage)];
            Step pass = step(stage == 0 ? Step::Kind::send : Step::Kind::receive, 0, 10000);
            pass.peer = 1 - stage;
            pass.tag = m;
            if (stage == 1) list.push_back(pass);
            list.push_back(step(Step::Kind::compute, 1e-3 * (1 + stage), 0));
            list.push_back(step(Step::Kind::collective, 0, 20000));
            if (stage == 0) list.push_back(pass);
        }
    for (auto& list : s.stages) {
        list.push_back(step(Step::Kind::collective, 0, 50000));
        list.back().axis = Axis::data;
    }
    return s;
}

Case bare_case(const System& s, CollectiveKind kind, std::int64_t elements, DType type, int units,
               const std::string& algorithm) {
    Attributes a;
    a.collective = kind;
    Graph g("collective");
    g.mark_output(g.add(OpKind::collective, "y", {g.input("x", {elements}, type)}, a));
    Case c;
    c.graph = std::make_shared<Graph>(std::move(g));
    c.system = std::make_shared<System>(s);
    c.units = units;
    c.mapping.algorithm = algorithm;
    c.emulation.payload = Payload::full;
    return c;
}

Outputs judged(Case c) {
    for (const BackendRow& row : all_backends()) {
        if (row.name != "reference") continue;
        c.mapping = {};
        c.mapping.tensor = c.units;
        const auto session = row.make()->prepare(c, *single_process());
        session->run();
        return session->outputs().value();
    }
    throw std::logic_error("no reference");
}

std::string refusal(const Case& c, int ranks = 1) { return make_emulation()->supports(c, ranks).reason; }

}  // namespace

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

TEST_CASE("real data arrive as the reference says") {
    const System s = stated(4, outer_fabric);
    struct Way {
        CollectiveKind kind;
        std::vector<std::string> algorithms;
    };
    const std::vector<Way> ways{{CollectiveKind::allreduce, {"ring", "recursive-doubling", "halving-doubling", "tree"}},
                                {CollectiveKind::allgather, {"ring", "halving-doubling"}},
                                {CollectiveKind::reduce_scatter, {"ring", "halving-doubling"}},
                                {CollectiveKind::alltoall, {"pairwise"}},
                                {CollectiveKind::broadcast, {"tree", "chain"}},
                                {CollectiveKind::send_recv, {"ring"}}};
    for (const int units : {2, 3, 8, 13})
        for (const Way& way : ways)
            for (const std::string& algorithm : way.algorithms)
                for (const DType type : {DType::f32, DType::bf16}) {
                    CAPTURE(units);
                    CAPTURE(algorithm);
                    CAPTURE(name(way.kind));
                    const Case c = bare_case(s, way.kind, 5 * units, type, units, algorithm);
                    REQUIRE(refusal(c) == "");
                    const auto comm = single_process();
                    const auto session = make_emulation()->prepare(c, *comm);
                    session->run();
                    const Outputs got = session->outputs().value(), wanted = judged(c);
                    REQUIRE(got.size() == wanted.size());
                    double worst = 0;
                    for (std::size_t i = 0; i < got.size(); ++i) {
                        REQUIRE(got[i].values.size() == wanted[i].values.size());
                        for (std::size_t k = 0; k < got[i].values.size(); ++k)
                            worst = std::max(worst, std::abs(got[i].values[k] - wanted[i].values[k]));
                    }
                    CHECK(worst <= (type == DType::f32 ? 1e-5 : 0.1));
                }
}

TEST_CASE("without contention the closed form is met within 5 %") {
    for (const char* id : {"h100-sxm", "a100-sxm-80g"}) {
        const System s = shipped(id);
        const cluster::Device device(s);
        for (const CollectiveKind kind : {CollectiveKind::allreduce, CollectiveKind::allgather,
                                          CollectiveKind::reduce_scatter, CollectiveKind::broadcast})
            for (const int units : {2, 4, 8, 32, 256, 1024})
                for (const double bytes : {1e6, 64e6, 1e9}) {
                    CAPTURE(id);
                    CAPTURE(name(kind));
                    CAPTURE(units);
                    CAPTURE(bytes);
                    // What a switch adds up sends no messages that could be played: a ring stands for it.
                    const bool adds = kind == CollectiveKind::allreduce && units <= cluster::domain_units(s);
                    const double closed = cluster::collective_time(device, kind, bytes, units, 0, adds ? "ring" : "");
                    const Finish f = played(program(s, bare_collective(kind, bytes, units)));
                    CHECK(static_cast<double>(f.time) * 1e-12 == near(closed, 0.05));
                }
    }
}

TEST_CASE("a training step agrees with the closed form within 5 %") {
    for (const Workload& w : all_workloads()) {
        if (w.name != "train") continue;
        Params p;
        for (const ParamSpec& spec : w.params)
            if (spec.fallback) p.set(spec.name, *spec.fallback);
        p.set("model", std::string("megatron-22b"));
        p.set("batch", std::int64_t{64});
        p.set("seq", std::int64_t{2048});
        p.set("dtype", std::string("f16"));
        Case c;
        c.graph = std::make_shared<Graph>(w.build(p, Files({configs})));
        c.system = std::make_shared<System>(shipped("a100-sxm-80g"));
        for (const char* text : {"tp8 pp4 mb32 recompute", "tp8 pp4 dp2 mb16 sp selective", "tp4 pp8 vp2 dp2 mb16"}) {
            CAPTURE(text);
            c.mapping = Mapping::parse(text);
            c.units = c.mapping.units();
            const auto seconds = [&](const Backend& backend) {
                REQUIRE(backend.supports(c, 1).reason == "");
                return backend.prepare(c, *single_process())->run().elapsed.si();
            };
            CHECK(seconds(*make_emulation()) == near(seconds(*make_cluster()), 0.05));
        }
    }
}

TEST_CASE("an alltoall between domains is bound by the ports that leave them") {
    // 8 of 16 blocks of each unit leave its domain by its own port of 50 GB/s, of which 0.96 are reached.
    const System s = shipped("h100-sxm");
    const double bytes = 64 << 20, launch = 29e-6, port = 0.96 * 50e9;
    const Finish f = played(program(s, bare_collective(CollectiveKind::alltoall, bytes, 16)));
    CHECK(static_cast<double>(f.time) * 1e-12 == near(launch + bytes / 2 / port, 0.03));
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
    CHECK(time(1e12) == doctest::Approx(alone).epsilon(0.001));  // wide enough for all
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

TEST_CASE("a straggler and a slow link delay all, by as much as they are on the way") {
    const System s = stated();
    const StageSteps steps = small_training(2, 2, 8);
    const double sound = static_cast<double>(played(program(s, steps)).time);
    EmulationChoice choice;
    choice.faults = {{Fault::Kind::straggler, 5, 2, Seconds(0)}};
    // Stage 1 takes 2 ms a microbatch, its straggler 4.
    CHECK(static_cast<double>(played(program(s, steps, "", choice)).time) - sound ==
          doctest::Approx(16e9).epsilon(0.05));
    const StageSteps ring = bare_collective(CollectiveKind::allreduce, 1 << 20, 64);
    const auto slowed = [&](double factor) {
        choice.faults = {{Fault::Kind::slow_link, 9, factor, Seconds(0)}};
        return played(program(s, ring, "ring", choice)).time;
    };
    CHECK(slowed(1) == 13'078'548'000);
    CHECK(slowed(3) > 2 * slowed(1));
    CHECK(slowed(3) < 3 * slowed(1));
}

TEST_CASE("a failed unit leaves the others waiting, and is named") {
    EmulationChoice choice;
    choice.faults = {{Fault::Kind::failed, 2, 1, Seconds(5e-3)}};
    const Program p = program(stated(), bare_collective(CollectiveKind::allreduce, 1 << 20, 8), "ring", choice);
    CHECK_THROWS_WITH_AS(played(p), doctest::Contains("unit 2 failed after 0.005 s; 7 others wait for ever"), Error);
    choice.faults.front().at = Seconds(10);  // when all is done
    CHECK_NOTHROW(played(program(stated(), bare_collective(CollectiveKind::allreduce, 1 << 20, 8), "ring", choice)));
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

TEST_CASE("what cannot be emulated is refused in one sentence") {
    Case c = bare_case(stated(), CollectiveKind::allreduce, 1024, DType::f32, 4, "");
    CHECK(refusal(c, 4) == "");
    CHECK(refusal(c, 5) == "5 ranks are more than the 4 units they would play");
    c.mapping.algorithm = "pairwise";
    CHECK(refusal(c) == "allreduce is not played by \"pairwise\"");
    c.mapping.algorithm = "hierarchical";
    CHECK(refusal(c) == "4 units are one domain of loggp: no hierarchy");
    c.mapping.algorithm = "";
    c.emulation.faults = {{Fault::Kind::straggler, 4, 2, Seconds(0)}};
    CHECK(refusal(c) == "a fault is of unit 4, the case has 4");
    Case large = bare_case(stated(), CollectiveKind::allreduce, std::int64_t{1} << 34, DType::f32, 1024, "");
    CHECK(refusal(large).find("of this machine's memory") != std::string::npos);
    large.emulation.payload = Payload::none;
    CHECK(refusal(large) == "");
    Case single = c;
    Graph g("gemm");
    g.mark_output(g.add(OpKind::matmul, "c", {g.input("a", {8, 8}, DType::f32), g.input("b", {8, 8}, DType::f32)}));
    single.graph = std::make_shared<Graph>(std::move(g));
    CHECK(refusal(single).find("one operator on one unit sends no messages") == 0);
    const Case shards = bare_case(shipped("h100-sxm"), CollectiveKind::broadcast, 1024, DType::f32, 16, "");
    CHECK(refusal(shards) ==
          "between domains the shards of broadcast are played without data; name an algorithm for real ones");
    Case two_domains = bare_case(shipped("h100-sxm"), CollectiveKind::allreduce, 1024, DType::f32, 16, "");
    auto flat = std::make_shared<System>(*two_domains.system);
    flat->fabrics.pop_back();
    two_domains.system = flat;
    CHECK(refusal(two_domains) == "16 units are more than the 8 that h100-sxm joins");
    CHECK_THROWS_WITH_AS(algorithm_from_name("rign"), doctest::Contains("Did you mean \"ring\"?"), Error);
}
