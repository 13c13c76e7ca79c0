#include <doctest/doctest.h>

#include <rapidcheck.h>

#include <cmath>

#include "core/backend.hpp"
#include "core/tables.hpp"
#include "core/workload.hpp"
#include "models/cluster/search.hpp"
#include "models/offload.hpp"
#include "models/pipeline_schedule.hpp"

namespace wb {
std::unique_ptr<Backend> make_cluster();
std::unique_ptr<Backend> make_emulation();
}  // namespace wb

using namespace wb;
using namespace wb::cluster;

namespace {

const std::string configs = std::string(WB_SOURCE_DIR) + "/configs";

System shipped(const std::string& id, const std::map<std::string, std::string>& choices = {}) {
    return load_system(configs + "/systems/" + id + ".toml", choices);
}

Graph model(const std::string& name, std::int64_t batch, std::int64_t seq = 2048, const std::string& type = "bf16") {
    return build_workload("train", {{"model", name}, {"batch", batch}, {"seq", seq}, {"dtype", type}},
                          Files({configs}));
}

Case case_of(const Graph& g, const System& s, int units, const std::string& mapping = "") {
    Case c;
    c.graph = std::make_shared<Graph>(g);
    c.system = std::make_shared<System>(s);
    c.units = units;
    if (!mapping.empty()) c.mapping = Mapping::parse(mapping);
    return c;
}

std::string refusal(const Case& c) { return make_cluster()->supports(c, 1).reason; }

/// DeepSpeed's test bench: a DGX-2, two sockets of six channels of DDR4-2666, 1.5 TB.
System dgx2() {
    System s = shipped("v100-sxm2", {{"memory", "gb32"}});
    s.node.at("host_memory").value = 1.5e12;
    s.node.at("host_memory_bandwidth").value = 256e9;
    s.node.at("units").value = 16;
    return s;
}

/// GPT-2 of hidden 4096 as ZeRO-Offload (Ren et al. 2021) scales it: 50 layers for 10 billion, 65 for 13.
Graph gpt2_wide(int layers, std::int64_t batch) {
    const std::string shape =
        "{hidden=4096,layers=" + std::to_string(layers) + ",heads=32,ffn=16384,vocab=50304,gated=0}";
    return model(shape, batch, 1024, "f16").resolved(DType::f16, DType::any8);
}

}  // namespace

TEST_CASE("offload is chosen where nothing else fits, and only there") {
    const System s = shipped("h100-sxm");
    const Graph g = model("llama2-13b", 16);
    const auto backend = make_cluster();
    const auto used = [&](int units) {
        const Case c = case_of(g, s, units);
        REQUIRE(backend->supports(c, 1).reason == "");
        return backend->prepare(c, *single_process())->usage();
    };
    CHECK_FALSE(Mapping::parse(used(8).mapping).offload);
    const ResourceUse two = used(2);
    CAPTURE(two.detail);
    CHECK(Mapping::parse(two.mapping).offload);
    CHECK(two.detail.find(" that offload, as none of ") != std::string::npos);
    double unit = 0, host = 0, room = 0;
    for (const MemoryUse& m : two.memory) (m.level.starts_with("host ") ? host : unit) += m.peak.si();
    for (const MemoryUse& m : two.memory)
        if (m.level.starts_with("host ")) room = m.capacity.si();
    CHECK(unit <= 80e9);
    CHECK(room == doctest::Approx(1e12).scale(0));  // 2 TB for two
    // 13.0e9 parameters: moments, master copy and 32-bit gradients, shared by two
    CHECK(host == doctest::Approx(16 * 13.0e9 / 2).epsilon(0.02).scale(0));
}

TEST_CASE("host memory that is too small, or unknown, is refused with the number") {
    System s = shipped("h100-sxm");
    const Graph g = model("llama2-7b", 16);
    const char* mapping = "tp2 mb16 offload recompute";
    const Device device(s);
    Planner planner(g, device);
    const double needed = planner.evaluate(Mapping::parse(mapping)).memory.hosted();
    s.node.at("host_memory").value = 2 * needed * 1.001;
    CHECK(refusal(case_of(g, s, 2, mapping)) == "");
    s.node.at("host_memory").value = 2 * needed * 0.999;
    const std::string why = refusal(case_of(g, s, 2, mapping));
    CAPTURE(why);
    CHECK(why.find("tp2 mb16 offload recompute does not fit the ") == 0);
    CHECK(why.find(" of host memory a unit has: it needs ") != std::string::npos);
    Case played = case_of(g, s, 2, mapping);
    CHECK(make_emulation()->supports(played, 1).reason == why);
    s.node.erase("host_memory");
    CHECK(refusal(case_of(g, s, 2, mapping)) == "h100-sxm cannot offload: [node] of the system lacks \"host_memory\"");
    CHECK(refusal(case_of(g, s, 1)).find("mappings fits; nearest: ") != std::string::npos);
}

TEST_CASE("laws of offload") {
    const Graph g = model("llama2-7b", 64);
    const auto step = [&](const char* text, double link, double rate) {
        System s = shipped("h100-sxm");
        s.node.at("host_link").value = link;
        s.node.at("host_memory_bandwidth").value = rate;
        const Device device(s);
        return Planner(g, device).evaluate(Mapping::parse(text)).step;
    };
    const std::vector<std::pair<const char*, const char*>> mappings{{"tp2 mb16 offload", "tp2 mb16"},
                                                                    {"tp2 pp4 mb16 offload", "tp2 pp4 mb16"},
                                                                    {"tp2 dp4 mb8 zero1 offload", "tp2 dp4 mb8 zero1"},
                                                                    {"dp8 mb8 zero2 offload", "dp8 mb8 zero2"}};
    for (const auto& [with, without] : mappings) {
        CAPTURE(with);
        const ModelStep free = step(with, 1e30, 1e30), plain = step(without, 1, 1);
        CHECK(free.host == doctest::Approx(0).epsilon(1e-9));
        CHECK(free.time == doctest::Approx(plain.time - plain.update).epsilon(1e-9).scale(0));
        // A link alone: the way up is all of the update.
        const ModelStep slow = step(with, 1e9, 1e30);
        const Mapping m = Mapping::parse(with);
        const double moves = gradients_leave(m) ? m.microbatches : 1;
        CHECK(slow.update == doctest::Approx(slow.host_bytes / moves / 1e9).epsilon(1e-9).scale(0));
        CHECK(slow.time > free.time);
    }
    CHECK(rc::check("a faster link or host is never slower", [&] {
        const auto& with = mappings[*rc::gen::inRange<std::size_t>(0, mappings.size())].first;
        const double link = *rc::gen::inRange(1, 500) * 1e9, rate = *rc::gen::inRange(1, 2000) * 1e9;
        const double t = step(with, link, rate).time;
        RC_ASSERT(step(with, 2 * link, rate).time <= t);
        RC_ASSERT(step(with, link, 2 * rate).time <= t);
        RC_ASSERT(step(with, 2 * link, 2 * rate).time >= t / 2);
    }));
    CHECK(unlawful(shape_of(build_workload("prefill",
                                           {{"model", std::string("llama2-7b")},
                                            {"batch", std::int64_t{8}},
                                            {"seq", std::int64_t{128}},
                                            {"dtype", std::string("bf16")}},
                                           Files({configs}))),
                   Mapping::parse("tp2 offload"),
                   2) == "offload moves what training keeps to the host, and this graph does not train");
}

TEST_CASE("an offloaded schedule is played in the time of the closed form, and emulated") {
    const System s = shipped("h100-sxm");
    const Device d(s);
    const Graph g = model("llama2-13b", 32);
    Planner planner(g, d);
    for (const char* text : {"tp2 pp4 mb32 offload", "tp2 pp2 dp2 mb16 zero2 offload", "dp8 mb2 zero1 offload"}) {
        CAPTURE(text);
        const Mapping m = Mapping::parse(text);
        const double closed = planner.evaluate(m).step.time;
        const double played = play(pipeline_steps(planner.work(m), d, m), step_seconds(d, m)).seconds;
        CHECK(played == doctest::Approx(closed).epsilon(0.05).scale(0));
    }
    const Case c = case_of(model("llama2-7b", 8), s, 4, "tp2 pp2 mb8 offload");
    const auto emulation = make_emulation();
    REQUIRE(emulation->supports(c, 1).reason == "");
    const double emulated = emulation->prepare(c, *single_process())->run().elapsed.si();
    const auto cluster = make_cluster();
    REQUIRE(cluster->supports(c, 1).reason == "");
    CHECK(emulated ==
          doctest::Approx(cluster->prepare(c, *single_process())->run().elapsed.si()).epsilon(0.05).scale(0));
}

TEST_CASE("ZeRO-Offload: 13 billion parameters fit one V100 of 32 GB, at no great loss (Ren et al. 2021)") {
    const System s = dgx2();
    const Device device(s);
    const auto fits = [&](int layers, const char* mapping) {
        const Graph g = gpt2_wide(layers, 4);
        return Planner(g, device).evaluate(Mapping::parse(mapping)).memory.total() <= 32e9;
    };
    CHECK(fits(65, "offload recompute"));        // 13 billion: the largest the paper trains
    CHECK_FALSE(fits(80, "offload recompute"));  // 16 billion
    CHECK(fits(6, "recompute"));                 // 1.4 billion: the largest that PyTorch alone does
    CHECK_FALSE(fits(10, "recompute"));
    // 40 TFLOP/s for 10 billion, at a batch of 512 and as fast as models that fit. The V100 of the file has fused
    // attention and bare kernels, so it is up to twice as fast; what offload itself costs is a few percent.
    const Graph g = gpt2_wide(50, 512);
    Planner planner(g, device);
    const double with = planner.evaluate(Mapping::parse("mb64 offload recompute")).step.time;
    const double without = planner.evaluate(Mapping::parse("mb64 recompute")).step.time;
    CHECK(g.flops().si() / with > 40e12);
    CHECK(g.flops().si() / with < 80e12);
    CHECK(with > without);
    CHECK(with < 1.1 * without);
}
