#include "tests/models/emulation_cases.hpp"

#include "core/error.hpp"
#include "core/workload.hpp"
#include "models/collective_time.hpp"
#include "models/pipeline_schedule.hpp"
#include "models/timeline.hpp"

using namespace emulated;

namespace {

/// How far what the emulation moves is off from what the reference says, in real values.
double worst_error(const Case& c) {
    REQUIRE(refusal(c) == "");
    const auto comm = single_process();
    const auto session = make_emulation()->prepare(c, *comm);
    session->run();
    const Outputs got = session->outputs().value(), wanted = judged(c);
    REQUIRE(got.size() == wanted.size());
    double worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
        REQUIRE(got[i].values.size() == wanted[i].values.size());
        for (std::size_t k = 0; k < got[i].values.size(); ++k) {
            const double error = std::abs(got[i].values[k] - wanted[i].values[k]);
            worst = error <= worst ? worst : error;  // NaN counts
        }
    }
    return worst;
}

}  // namespace

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
    for (const DType type : {DType::f32, DType::bf16})
        for (const Way& way : ways) {
            CAPTURE(name(way.kind));
            const double tolerance = type == DType::f32 ? 1e-5 : 0.1;
            for (const int units : {2, 3, 8, 13})
                for (const std::string& algorithm : way.algorithms) {
                    CAPTURE(units);
                    CAPTURE(algorithm);
                    CHECK(worst_error(bare_case(s, way.kind, 5 * units, type, units, algorithm)) <= tolerance);
                }
            for (const int units : {16, 24}) {  // of several domains, by shards
                CAPTURE(units);
                CHECK(worst_error(bare_case(shipped("h100-sxm"), way.kind, 5 * units, type, units, "")) <= tolerance);
            }
        }
    System groups = shipped("h100-sxm");
    groups.fabrics.back().topology = "dragonfly";
    for (const CollectiveKind kind :
         {CollectiveKind::allreduce, CollectiveKind::allgather, CollectiveKind::reduce_scatter})
        for (const int units : {16, 24, 40}) {
            CAPTURE(name(kind));
            CAPTURE(units);
            CHECK(worst_error(bare_case(groups, kind, 5 * units, DType::f32, units, "dragonfly")) <= 1e-5);
        }
    CHECK(refusal(bare_case(shipped("h100-sxm"), CollectiveKind::allreduce, 64, DType::f32, 16, "dragonfly"))
              .find("\"dragonfly\" goes between the groups of a dragonfly") != std::string::npos);
}

TEST_CASE("without contention the closed form is met within 5 %") {
    for (const char* id : {"h100-sxm", "a100-sxm-80g", "b200", "h200-sxm"}) {
        const System s = shipped(id);
        const cluster::Device device(s);
        const int domain = cluster::domain_units(s);
        for (const CollectiveKind kind :
             {CollectiveKind::allreduce, CollectiveKind::allgather, CollectiveKind::reduce_scatter,
              CollectiveKind::broadcast, CollectiveKind::alltoall, CollectiveKind::send_recv})
            for (const int units : {2, 4, 8, 32, 256, 1024})
                for (const double bytes : {64e3, 1e6, 64e6, 1e9}) {
                    // docs/models.md says why these differ.
                    if (kind == CollectiveKind::alltoall && units > domain) continue;
                    if (kind == CollectiveKind::broadcast && units > 2 && units <= domain &&
                        device.has("fill_fraction"))
                        continue;
                    CAPTURE(id);
                    CAPTURE(name(kind));
                    CAPTURE(units);
                    CAPTURE(bytes);
                    const double closed = cluster::collective_time(device, kind, bytes, units);
                    const Finish f = played(program(s, bare_collective(kind, bytes, units)));
                    CHECK(off(static_cast<double>(f.time) * 1e-12, closed) <= 0.05);
                }
    }
}

TEST_CASE("a switch that adds up is taken where it is faster, or named") {
    const System s = shipped("h200-sxm");
    const cluster::Device device(s);
    REQUIRE(Machine::reduces_in_switch(s));
    const StageSteps sum = bare_collective(CollectiveKind::allreduce, 256e6, 8);
    const auto time = [&](const std::string& algorithm) {
        return static_cast<double>(played(program(s, sum, algorithm)).time) * 1e-12;
    };
    for (const char* algorithm : {"ring", "nvls", ""})
        CHECK(off(time(algorithm),
                  cluster::collective_time(device, CollectiveKind::allreduce, 256e6, 8, 0, algorithm)) <= 0.05);
    CHECK(time("nvls") < time("ring"));
    CHECK(played(stamped(program(s, sum, "nvls"))).checked == 8);
    CHECK(refusal(bare_case(s, CollectiveKind::allreduce, 1024, DType::f32, 8, "nvls")) == "");
    CHECK(refusal(bare_case(s, CollectiveKind::allreduce, 1024, DType::f32, 16, "nvls"))
              .find("algorithm: the switches of h200-sxm do not add up this allreduce of 16 units") == 0);
}

TEST_CASE("a training step agrees with the closed form within 5 %") {
    for (const char* text : {"tp8 pp4 mb32 recompute", "tp8 pp4 dp2 mb16 sp selective", "tp2 pp4 vp2 mb16 sp recompute",
                             "tp8 dp8 mb8 sp zero1 selective", "tp8 dp4 cp2 mb8 sp zero3 recompute"}) {
        CAPTURE(text);
        const Case c = train_case(shipped("a100-sxm-80g"), "megatron-22b", 64, 2048, text);
        const auto seconds = [&](const Backend& backend) {
            REQUIRE(backend.supports(c, 1).reason == "");
            return backend.prepare(c, *single_process())->run().elapsed.si();
        };
        CHECK(off(seconds(*make_emulation()), seconds(*make_cluster())) <= 0.05);
    }
}

TEST_CASE("the collectives of a training step carry real data, and take as long as without") {
    Case c = train_case(shipped("h100-sxm"), "tiny-llama", 16, 32, "tp2 pp2 dp8 mb2 sp zero1");
    const auto run = [&](Payload payload) {
        c.emulation.payload = payload;
        REQUIRE(refusal(c) == "");
        const auto comm = single_process();
        const auto session = make_emulation()->prepare(c, *comm);
        const double seconds = session->run().elapsed.si();
        const Verification v = session->usage().verification;
        CHECK(v.done == (payload == Payload::full));
        if (v.done) CHECK(std::stoll(v.method) > 32 * 10);  // of 32 units, each of at least 10 calls
        return seconds;
    };
    const double bare = run(Payload::none);
    CHECK(run(Payload::sized) == bare);
    CHECK(run(Payload::full) == bare);
}

TEST_CASE("a failed unit ends a step early, with a timeline") {
    Case c = train_case(shipped("h100-sxm"), "tiny-llama", 16, 32, "tp2 pp2 dp2 mb4");
    c.emulation.faults = {{Fault::Kind::failed, 3, 1, Seconds(300e-6)}};
    const auto comm = single_process();
    const Sample s = make_emulation()->prepare(c, *comm)->run();
    CHECK(s.problem.find("unit 3 failed after 300 us; 7 others wait for ever") == 0);
    const auto count = [&](const std::string& text) {
        return std::count_if(s.spans.begin(), s.spans.end(), [&](const Span& x) {
            return (x.resource + " " + x.phase).find(text) != std::string::npos;
        });
    };
    CHECK(count("unit 3 failed") == 1);
    CHECK(count("unit 2 idle waiting for unit 3 for ever") == 1);
    CHECK(count("for ever") == 7);
    for (const Span& x : s.spans)
        if (x.resource.starts_with("unit 3") && !x.resource.ends_with("failed"))
            CHECK((x.start + x.duration).si() <= 300.1e-6);
}

TEST_CASE("an alltoall between domains is bound by the ports that leave them") {
    // 8 of 16 blocks of each unit leave its domain by its own port of 50 GB/s, of which 0.96 are reached.
    const System s = shipped("h100-sxm");
    const double bytes = 64 << 20, launch = 29e-6, port = 0.96 * 50e9;
    const Finish f = played(program(s, bare_collective(CollectiveKind::alltoall, bytes, 16)));
    CHECK(off(static_cast<double>(f.time) * 1e-12, launch + bytes / 2 / port) <= 0.02);
}

TEST_CASE("what cannot be emulated is refused in one sentence") {
    Case c = bare_case(stated(), CollectiveKind::allreduce, 1024, DType::f32, 4, "");
    CHECK(refusal(c, 4) == "");
    CHECK(refusal(c, 5) ==
          "mpirun: 5 ranks are more than the 4 units they would play (some would have nothing to do). Start 4 at most");
    c.mapping.algorithm = "pairwise";
    CHECK(refusal(c) == "algorithm: allreduce is not played by \"pairwise\" (its messages would not do it)");
    c.mapping.algorithm = "hierarchical";
    CHECK(refusal(c) == "algorithm: 4 units are one domain of loggp (there is no hierarchy)");
    c.mapping.algorithm = "";
    c.emulation.faults = {{Fault::Kind::straggler, 4, 2, Seconds(0)}};
    CHECK(refusal(c) ==
          "emulation: a fault is of unit 4, the case has 4 (it would never show). Units are counted from 0");
    Case single = c;
    Graph g("gemm");
    g.mark_output(g.add(OpKind::matmul, "c", {g.input("a", {8, 8}, DType::f32), g.input("b", {8, 8}, DType::f32)}));
    single.graph = std::make_shared<Graph>(std::move(g));
    CHECK(refusal(single).find("one operator on one unit sends no messages") == 0);
    Case two_domains = bare_case(shipped("h100-sxm"), CollectiveKind::allreduce, 1024, DType::f32, 16, "");
    auto flat = std::make_shared<System>(*two_domains.system);
    flat->fabrics.pop_back();
    two_domains.system = flat;
    CHECK(
        refusal(two_domains) ==
        "h100-sxm: its fabrics join 8 units, the case has 16 (messages between the others have no way). Use fewer, or "
        "describe the next fabric in its file");
    CHECK(refusal(bare_case(stated(), CollectiveKind::allreduce, 1024, DType::f32, 6, "dissemination"))
              .find("algorithm: dissemination among 6 units adds some data twice") == 0);
    CHECK_THROWS_WITH_AS(algorithm_from_name("rign"), doctest::Contains("Did you mean \"ring\"?"), Error);
}

TEST_CASE("messages longer than memory are refused with their name and what is free") {
    Case large = bare_case(stated(), CollectiveKind::allreduce, std::int64_t{1} << 34, DType::f32, 1024, "");
    const std::string why = refusal(large);
    CHECK(why.find("payload \"full\": allreduce of 68.7 GB on each of 1024 units take ") == 0);
    CHECK(why.find(" of this machine are free (messages really carry them). Use payload = \"none\"") !=
          std::string::npos);
    large.emulation.payload = Payload::sized;
    CHECK(refusal(large).find("payload \"sized\": allreduce of ") == 0);
    large.emulation.payload = Payload::none;
    CHECK(refusal(large) == "");
    Case step = train_case(shipped("a100-sxm-80g"), "megatron-22b", 64, 2048, "tp8 pp4 dp2 mb16 sp selective");
    CHECK(refusal(step) == "");
    step.emulation.payload = Payload::full;
    CHECK(refusal(step).find("payload \"full\": gradients (allreduce) of ") == 0);
}

TEST_CASE("a mapping that does not fit a unit is refused with the bytes, as the closed form does") {
    const Case c = train_case(shipped("a100-sxm-80g"), "megatron-22b", 64, 2048, "dp64");
    const std::string why = refusal(c);
    CHECK(why.find("mapping dp64: does not fit the 80.0 GB of a unit of a100-sxm-80g (it needs 4") == 0);
    CHECK(why.find("weights") != std::string::npos);
    CHECK(make_cluster()->supports(c, 1).reason.find("dp64 does not fit the 80.0 GB of a unit") == 0);
}

TEST_CASE("the closed form finds the mapping of a case that names none") {
    Case c = train_case(shipped("h100-sxm"), "tiny-llama", 16, 32, "dp2 mb2");
    CHECK(!make_cluster()->best_mapping(c));  // one is named
    c.mapping = {};
    c.units = 16;
    const auto best = make_cluster()->best_mapping(c);
    REQUIRE(best);
    CHECK(best->units() == 16);
    CHECK(make_cluster()->prepare(c, *single_process())->usage().mapping == best->text());
    CHECK(!make_emulation()->best_mapping(c));                                    // it does not search
    Case large = train_case(shipped("h100-sxm"), "megatron-175b", 1, 2048, "1");  // three, and three that offload
    CHECK_THROWS_WITH_AS(make_cluster()->best_mapping(large), doctest::Contains("none of 6 mappings fits"), Error);
}
