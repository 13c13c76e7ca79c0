#include <doctest/doctest.h>

#include <rapidcheck.h>
#include <functional>

#include "core/backend.hpp"
#include "core/error.hpp"
#include "core/tables.hpp"
#include "core/workload.hpp"
#include "models/cluster/search.hpp"

namespace wb {
std::unique_ptr<Backend> make_cluster();
}  // namespace wb

using namespace wb;
using namespace wb::cluster;

namespace {

const std::string configs = std::string(WB_SOURCE_DIR) + "/configs";

System shipped(const std::string& id, const std::map<std::string, std::string>& choices = {}) {
    return load_system(configs + "/systems/" + id + ".toml", choices);
}

Graph model(const std::string& pass, const std::string& name, std::int64_t batch, std::int64_t seq,
            const std::string& type = "bf16") {
    return build_workload(pass, {{"model", name}, {"batch", batch}, {"seq", seq}, {"dtype", type}}, Files({configs}));
}

std::string refusal(const Graph& g, const System& s, const std::string& mapping, int units) {
    Case c;
    c.graph = std::make_shared<Graph>(g);
    c.system = std::make_shared<System>(s);
    c.units = units;
    if (!mapping.empty()) c.mapping = Mapping::parse(mapping);
    return make_cluster()->supports(c, 1).reason;
}

}  // namespace

TEST_CASE("a mapping is read as it is written") {
    CHECK(rc::check("text and back", [] {
        const auto count = [] { return *rc::gen::inRange(1, 65); };
        Mapping m;
        m.tensor = count(), m.pipeline = count(), m.data = count(), m.context = count(), m.expert = count();
        m.microbatches = count(), m.virtual_stages = count();
        m.sequence_parallel = *rc::gen::arbitrary<bool>();
        m.shard = *rc::gen::inRange(0, 4);
        m.offload = *rc::gen::arbitrary<bool>();
        m.recompute = static_cast<Mapping::Recompute>(*rc::gen::inRange(0, 3));
        RC_ASSERT(Mapping::parse(m.text()).text() == m.text());
        RC_ASSERT(Mapping::parse(m.text()).units() == m.units());
    }));
    CHECK(Mapping::parse("1").units() == 1);
    CHECK(Mapping::parse("dp2 gpipe 32x16").algorithm == "gpipe");
    const auto said = [](const char* text) {
        try {
            Mapping::parse(text);
        } catch (const Error& e) {
            return std::string(e.what());
        }
        return std::string();
    };
    CHECK(said("tp8 selectiv") ==
          "mapping: \"selectiv\" is no part of a mapping (it would be ignored). Did you mean \"selective\"?");
    CHECK(said("tp8 tp4") == "mapping: \"tp\" stands twice (only one can be true).");
    CHECK(said("tp0").find("\"tp0\" is no part of a mapping") != std::string::npos);
    CHECK(said("zero4").find("\"zero4\" is no part of a mapping") != std::string::npos);
    CHECK(said("") == "mapping: \"\" names nothing (a mapping says how work is spread). Write \"tp8 pp8 dp64 mb32\".");
}

TEST_CASE("a mapping that does not divide says which factor, and the nearest lawful ones") {
    const Graph g = model("train", "gpt3-175b", 64, 2048);
    const System s = shipped("h100-sxm");
    CHECK(refusal(g, s, "tp5 pp2", 10) ==
          "tp5 does not divide 96 heads over 96 key-value heads; the nearest lawful: tp4 and tp6");
    CHECK(refusal(g, s, "tp8 pp13", 104) == "pp13 does not divide 96 layers; the nearest lawful: pp12 and pp14");
    CHECK(refusal(g, s, "tp8 pp8 dp3", 192) ==
          "dp3 x ep1 does not divide a batch of 64 sequences; the nearest lawful: dp2 and dp4");
    CHECK(refusal(g, s, "tp8 pp8 dp2 mb12", 128) ==
          "mb12 does not divide the 32 sequences of a replica; the nearest lawful: mb8 and mb16");
    CHECK(refusal(g, s, "tp8 pp8 dp2 mb4 vp3", 128) ==
          "mb4 is no multiple of pp8, as interleaved stages need; the nearest lawful: mb8");
    CHECK(refusal(g, s, "tp8 pp8 mb8 vp7", 64) ==
          "vp7 x pp8 does not divide 96 layers; the nearest lawful: vp6 and vp12");
    CHECK(refusal(g, s, "tp8 vp2", 8) == "vp needs a pipeline: pp is 1; the nearest lawful: vp1");
    CHECK(refusal(g, s, "tp8 cp3", 24) ==
          "cp3 does not divide a sequence of 2048 tokens; the nearest lawful: cp2 and cp4");
    CHECK(refusal(g, s, "tp8 ep2", 16) == "ep2 does not divide 0 experts; the nearest lawful: ep1");
    CHECK(refusal(g, s, "tp8 pp8", 128) == "mapping tp8 pp8 takes 64 units, the case has 128; dp2 would take them all");
    CHECK(refusal(g, s, "tp8 pp12", 128) ==
          "mapping tp8 pp12 takes 96 units, the case has 128; without dp it takes 96, and 96 and 192 are the nearest "
          "counts it divides");
}

TEST_CASE("a fabric without a level for the units is one sentence") {
    System s = shipped("h100-sxm");
    s.fabrics.resize(1);
    s.fabrics.front().units.reset();
    const std::string why = refusal(model("train", "llama2-7b", 64, 2048), s, "tp8 dp8 mb8 zero1 selective", 64);
    CAPTURE(why);
    CHECK(why.find("no fabric joins 8 units") != std::string::npos);
}

TEST_CASE("a mapping that does not fit is refused with the number, and fits on the other side of the edge") {
    const Graph g = model("train", "llama2-7b", 64, 2048);
    System s = shipped("h100-sxm");
    const std::string why = refusal(g, s, "dp16 mb4", 16);
    CAPTURE(why);
    CHECK(why.find("dp16 mb4 does not fit the 80.0 GB of a unit: it needs ") == 0);
    const Device device(s);
    Planner planner(g, device);
    const Mapping m = Mapping::parse("tp8 pp2 dp1 mb64 selective sp");
    const double needed = planner.evaluate(m).memory.total();
    for (Memory& level : s.memories)
        if (level.capacity->value > 4e9) level.capacity->value = needed * 1.001;
    CHECK(refusal(g, s, m.text(), 16) == "");
    for (Memory& level : s.memories)
        if (level.capacity->value > 4e9) level.capacity->value = needed * 0.999;
    CHECK(refusal(g, s, m.text(), 16).find("does not fit") != std::string::npos);
}

TEST_CASE("memory of Megatron models: Korthikanti et al. 2022, figure 1") {
    // Bytes of a GPU by the paper's formulas: 18 a parameter; s b h L (10 + 24/t + 5 a s / (h t)) and 34 / t.
    const System s = shipped("a100-sxm-80g", {{"library", "pytorch-unfused"}});
    const Device device(s);
    const Graph g22 = model("train", "megatron-22b", 4, 2048), g175 = model("train", "megatron-175b", 16, 2048);
    Planner small(g22, device), large(g175, device);
    const auto parameters = [](const Footprint& f) { return f.weights + f.gradients + f.optimizer; };
    const Footprint plain = small.evaluate(Mapping::parse("tp8")).memory;
    CHECK(parameters(plain) == doctest::Approx(48.92e9).epsilon(0.05).scale(0));
    CHECK(plain.activations == doctest::Approx(63.62e9).epsilon(0.02).scale(0));
    CHECK(small.evaluate(Mapping::parse("tp8 sp selective")).memory.activations ==
          doctest::Approx(10.27e9).epsilon(0.02).scale(0));
    const Footprint piped = large.evaluate(Mapping::parse("tp8 pp8 mb16 vp3")).memory;
    CHECK(piped.activations == doctest::Approx(71.77e9).epsilon(0.02).scale(0));
    CHECK(large.evaluate(Mapping::parse("tp8 pp8 mb16 vp3 sp selective")).memory.activations ==
          doctest::Approx(13.26e9).epsilon(0.02).scale(0));
}

TEST_CASE("the search is complete: nothing lawful that fits is faster") {
    const System s = shipped("h100-sxm");
    const Device device(s);
    const Graph g = model("train", "llama2-7b", 64, 2048);
    Planner planner(g, device);
    const Found found = planner.search(32);
    REQUIRE(found.best);
    CHECK(unlawful(planner.shape(), found.best->mapping, 32) == "");
    CHECK(found.best->memory.total() <= found.capacity);
    std::int64_t lawful = 0;
    for (int tp = 1; tp <= 32; ++tp)
        for (int pp = 1; tp * pp <= 32; ++pp)
            for (int cp = 1; tp * pp * cp <= 32; ++cp)
                for (int mb = 1; mb <= 64; ++mb)
                    for (int vp = 1; vp <= 32 / pp; ++vp)
                        for (int rest = 0; rest < 24; ++rest) {
                            Mapping m;
                            m.tensor = tp, m.pipeline = pp, m.context = cp, m.data = 32 / (tp * pp * cp);
                            m.microbatches = mb, m.virtual_stages = vp, m.shard = rest % 4;
                            m.sequence_parallel = rest / 4 % 2 == 1;
                            m.recompute = static_cast<Mapping::Recompute>(rest / 8);
                            if (m.sequence_parallel && tp == 1) continue;
                            if (m.shard > 0 && m.data * cp == 1) continue;
                            if (!unlawful(planner.shape(), m, 32).empty()) continue;
                            ++lawful;
                            const Candidate c = planner.evaluate(m);
                            if (c.memory.total() <= found.capacity) REQUIRE(c.step.time >= found.best->step.time);
                        }
    CHECK(lawful == found.lawful);
    CHECK(found.text().find("best of " + std::to_string(lawful) + " lawful mappings") == 0);
}

TEST_CASE("nothing named: the best mapping is searched and told, or the nearest miss is") {
    Case c;
    c.graph = std::make_shared<Graph>(model("train", "llama2-7b", 64, 2048));
    c.system = std::make_shared<System>(shipped("h100-sxm"));
    c.units = 16;
    const auto backend = make_cluster();
    REQUIRE(backend->supports(c, 1).yes);
    const auto session = backend->prepare(c, *single_process());
    const ResourceUse use = session->usage();
    CHECK(Mapping::parse(use.mapping).units() == 16);
    CHECK(use.detail.find("best of ") != std::string::npos);
    const double t = session->run().elapsed.si();
    c.mapping = Mapping::parse("tp8 dp2 mb8 recompute");
    REQUIRE(backend->supports(c, 1).reason == "");
    CHECK(backend->prepare(c, *single_process())->run().elapsed.si() >= t);
    CHECK(refusal(model("train", "gpt3-175b", 8, 2048), *c.system, "", 8).find("mappings fits; nearest: ") !=
          std::string::npos);
    c.graph = std::make_shared<Graph>(model("decode", "llama3-70b", 8, 2048));
    c.mapping = {};
    c.units = 4;
    REQUIRE(backend->supports(c, 1).reason == "");
    double cache = 0;
    for (const MemoryUse& m : backend->prepare(c, *single_process())->usage().memory)
        if (m.level == "cache") cache = m.peak.si();
    // 80 layers x 8 heads x 128 x keys and values x 2 bytes, on 4 units
    CHECK(cache == doctest::Approx(80.0 * 8 * 128 * 2 * 2 * 8 * 2049 / 4).epsilon(0.01).scale(0));
}

TEST_CASE("laws of memory") {
    const System s = shipped("h100-sxm");
    const Device device(s);
    const Graph g = model("train", "llama2-7b", 64, 2048);
    Planner planner(g, device);
    const auto held = [&](const char* text) { return planner.evaluate(Mapping::parse(text)).memory; };
    const Footprint plain = held("tp4 dp4 mb8");
    CHECK(held("tp4 dp4 mb8 zero1").optimizer == doctest::Approx(plain.optimizer / 4));
    CHECK(held("tp4 dp4 mb8 zero2").gradients == doctest::Approx(plain.gradients / 4));
    CHECK(held("tp4 dp4 mb8 zero3").weights == doctest::Approx(plain.weights / 4));
    CHECK(held("tp4 dp4 mb16").activations == doctest::Approx(plain.activations / 2));
    CHECK(held("tp4 dp4 mb8 sp").activations < plain.activations);
    CHECK(held("tp4 dp4 mb8 recompute").activations < 0.2 * plain.activations);
    CHECK(held("tp4 pp4 mb16 gpipe").activations == doctest::Approx(4 * held("tp4 pp4 mb16").activations));
}

TEST_CASE("a published run that does not fit recomputes in as many layers as it takes") {
    Case c;
    c.graph = std::make_shared<Graph>(model("train", "llama3-70b", 64, 8192));
    c.system = std::make_shared<System>(shipped("h100-sxm"));
    c.units = 64;
    c.mapping = Mapping::parse("tp4 pp4 dp4 mb16 sp zero1");
    const auto backend = make_cluster();
    const auto seconds = [&](const char* mapping) {
        const Device device(*c.system);
        Planner planner(*c.graph, device);
        return planner.evaluate(Mapping::parse(mapping)).step.time;
    };
    CHECK(backend->supports(c, 1).reason.find("does not fit") != std::string::npos);
    c.mapping.open = true;
    REQUIRE(backend->supports(c, 1).reason == "");
    const auto session = backend->prepare(c, *single_process());
    const ResourceUse use = session->usage();
    CAPTURE(use.detail);
    CHECK(use.detail.find("% of the layers") != std::string::npos);
    double held = 0;
    for (const MemoryUse& m : use.memory) held += m.peak.si();
    CHECK(held <= 80e9 * 1.000001);
    CHECK(held > 80e9 * 0.999);
    const double t = session->run().elapsed.si();
    CHECK(t > seconds("tp4 pp4 dp4 mb16 sp zero1"));
    CHECK(t < seconds("tp4 pp4 dp4 mb16 sp zero1 recompute"));
}

TEST_CASE("adapters cost less than training all weights, in time and in memory") {
    const System s = shipped("h100-sxm");
    const Device device(s);
    const Graph all = model("train", "llama2-7b", 16, 4096), adapters = model("finetune", "llama2-7b", 16, 4096);
    Planner whole(all, device), tuned(adapters, device);
    for (const char* text : {"dp8 mb2", "tp4 dp2 mb8 sp", "pp4 dp2 mb8"}) {
        const Mapping m = Mapping::parse(text);
        const Candidate a = whole.evaluate(m), b = tuned.evaluate(m);
        CHECK(b.step.time < 0.85 * a.step.time);
        CHECK(b.step.time > 0.5 * a.step.time);
        CHECK(b.memory.optimizer < 0.01 * a.memory.optimizer);
        CHECK(b.step.gradient_bytes < 0.01 * a.step.gradient_bytes);
        CHECK(tuned.work(m).weight_bytes > 0.99 * whole.work(m).weight_bytes);
    }
}

TEST_CASE("experts are launched one by one in training, and their replicas stand apart") {
    System s = shipped("b200");
    const Graph g = model("train", "mixtral-8x7b", 64, 4096);
    const auto step = [&](const char* mapping) {
        const Device device(s);
        return Planner(g, device).evaluate(Mapping::parse(mapping)).step;
    };
    const double with = step("ep8 mb8").compute;
    s.fitted.at("expert_launch_time").value = 0;
    const double without = step("ep8 mb8").compute;
    // 32 layers, 8 microbatches, one expert here, 3 products forward and 6 backward
    const double launch = shipped("b200").fitted.at("expert_launch_time").value;
    CHECK(with - without == doctest::Approx(32 * 8 * 9 * launch).epsilon(1e-6).scale(0));
    // In 8 bits what the products read is rounded expert by expert: tokens and activations, and three gradients.
    const Graph narrow = model("train", "mixtral-8x7b", 64, 4096, "fp8_e4m3").resolved(DType::bf16, DType::fp8_e4m3);
    const auto compute = [&](double launch_time) {
        s.fitted.at("expert_launch_time").value = launch_time;
        const Device device(s);
        return Planner(narrow, device).evaluate(Mapping::parse("ep8 mb8")).step.compute;
    };
    CHECK(compute(launch) - compute(0) == doctest::Approx(32 * 8 * (9 + 5) * launch).epsilon(1e-6).scale(0));
    // Experts fill a node, so their gradients go between nodes: no faster than one port each.
    CHECK(step("dp8 ep8 mb1").data_network > step("dp8 mb8").data_network);
}

TEST_CASE("a layer that is one kernel takes its slowest part, and a wait") {
    const Graph g = model("decode", "llama2-7b", 1, 1024);
    const auto seconds = [&](const std::function<void(System&)>& change) {
        System s = shipped("sn40l");
        change(s);
        Mapping m;
        m.tensor = 8;
        const Device d(s);
        return Planner(g, d).evaluate(m).step.time;
    };
    const double plain = seconds([](System&) {});
    // Weights, all but the table of words, and keys and values, at 85 % of the memory; 32 waits.
    const double bytes = 2 * (6.738e9 - 32000 * 4096) + 2.0 * 2 * 32 * 4096 * 1024;
    CHECK(plain == doctest::Approx(bytes / 8 / (0.85 * 1.8e12) + 32 * 9.3e-6).epsilon(0.01).scale(0));
    CHECK(seconds([](System& s) { s.fitted["fused_layer_time"].value += 1e-6; }) - plain ==
          doctest::Approx(32e-6).scale(0));
    // Calls between sockets hide under the reading until they are the longer.
    CHECK(seconds([](System& s) { s.fabrics[0].bandwidth->value /= 2; }) ==
          doctest::Approx(plain).epsilon(0.01).scale(0));
    CHECK(seconds([](System& s) { s.fabrics[0].bandwidth->value /= 1000; }) > 2 * plain);
    CHECK(seconds([](System& s) { s.memories[1].bandwidth->value *= 1e6; }) < plain);
    // Kernel by kernel: what stages hand on goes through memory, and every call waits.
    CHECK(seconds([](System& s) { s.fitted.erase("fused_memory_fraction"); }) > 1.5 * plain);
    // Only layers with experts wait for the choice of their experts.
    const auto groq = [&](const char* name, double wait) {
        System s = shipped("groq-lpu");
        s.fitted["fused_expert_time"].value = wait;
        Mapping m;
        m.tensor = 8;
        const Device d(s);
        return Planner(model("decode", name, 1, 1024, "f16"), d).evaluate(m).step.time;
    };
    CHECK(groq("llama3-8b", 1e-3) == groq("llama3-8b", 0));
    CHECK(groq("mixtral-8x7b", 1e-3) - groq("mixtral-8x7b", 0) == doctest::Approx(32e-3).scale(0));
}

TEST_CASE("units that no mapping of an inference takes stay idle, and the result says how many") {
    const auto told = [](int units) {
        Case c;
        c.graph = std::make_shared<Graph>(model("decode", "llama3-8b", 1, 1024));
        c.system = std::make_shared<System>(shipped("gb200-nvl72"));
        c.units = units;
        REQUIRE(make_cluster()->supports(c, 1).reason == "");
        const auto session = make_cluster()->prepare(c, *single_process());
        return session->usage().detail;
    };
    CHECK(told(13).find("1 of 13 units idle") != std::string::npos);  // tp13 and pp13 deal nothing evenly
    CHECK(told(8).find("units idle") == std::string::npos);
}

TEST_CASE("8-bit training keeps 16 bits between products and around the layers") {
    const System s = shipped("h100-sxm");
    const Device device(s);
    const Graph wide = model("train", "llama3-8b", 16, 4096),
                narrow = model("train", "llama3-8b", 16, 4096, "fp8_e4m3");
    Planner in16(wide, device), in8(narrow, device);
    const Mapping m = Mapping::parse("tp2 pp2 dp2 mb8 sp");
    const ModelWork &a = in16.work(m), &b = in8.work(m);
    CHECK(b.boundary_bytes == a.boundary_bytes);
    CHECK(b.collective_bytes == a.collective_bytes);
    // The head and the loss cost the same, the layers less, but for the vector work of rounding.
    CHECK(b.forward.ends + b.backward.ends == doctest::Approx(a.forward.ends + a.backward.ends).epsilon(0.02).scale(0));
    CHECK(b.forward.layers < 0.8 * a.forward.layers);
    CHECK(b.forward.kernels > a.forward.kernels);
}

TEST_CASE("what the host does around passes, steps and experts") {
    const auto seconds = [](const char* id, const Graph& g, const char* mapping, const char* key, double value) {
        System s = shipped(id);
        s.fitted.at(key).value = value;
        const Device d(s);
        Mapping m = Mapping::parse(mapping);
        m.open = true;
        return Planner(g, d).evaluate(m).step.time;
    };
    // A program as short as this is over before the host has called the next one.
    const Graph tiny = model("evaluate", "tiny-gpt2", 1, 8), large = model("evaluate", "llama2-7b", 8, 4096);
    CHECK(seconds("tpu-v5p", tiny, "1", "program_time", 1e-3) == doctest::Approx(1e-3).epsilon(1e-9).scale(0));
    CHECK(seconds("tpu-v5p", large, "1", "program_time", 1e-3) == seconds("tpu-v5p", large, "1", "program_time", 0));
    CHECK(seconds("tpu-v5p", tiny, "1", "program_time", 0) > 10e-6);  // a gap for each of dozens of operators
    const Graph half = model("evaluate", "tiny-gpt2", 1, 8, "f16");
    CHECK(seconds("groq-lpu", half, "1", "fused_layer_time", 50e-6) > 100e-6);  // two layers, each one kernel
    const Graph step = model("train", "tiny-llama", 8, 32);
    CHECK(seconds("h100-sxm", step, "1", "step_time", 0.5) - seconds("h100-sxm", step, "1", "step_time", 0) ==
          doctest::Approx(0.5).epsilon(1e-9).scale(0));
    // Only what is rounded to 8 bits takes more kernels by a scale for a whole tensor.
    for (const char* type : {"bf16", "fp8_e4m3"}) {
        const Graph g = model("train", "qwen3-30b-a3b", 8, 1024, type).resolved(DType::bf16, DType::fp8_e4m3);
        const double one = seconds("h100-sxm", g, "pp2 ep8", "expert_cast_launches", 1),
                     three = seconds("h100-sxm", g, "pp2 ep8", "expert_cast_launches", 3);
        CAPTURE(type);
        CHECK(three >= one);  // of 0.3 to 0.6 s
        CHECK((three > 1.05 * one) == (std::string(type) == "fp8_e4m3"));
    }
}

TEST_CASE("a recomputation that stops early leaves out the last product of every layer") {
    const System s = shipped("h100-sxm");
    const Device d(s);
    const Graph g = model("train", "llama2-7b", 4, 4096);
    Planner planner(g, d);
    const auto seconds = [&](const char* mapping) { return planner.evaluate(Mapping::parse(mapping)).step.time; };
    const double none = seconds("1"), all = seconds("recompute"), early = seconds("recompute early-stop");
    // The last product is 4096 x 11008 of a layer's 4 x 4096^2 + 3 x 4096 x 11008, attention and norms aside.
    CHECK((early - none) / (all - none) ==
          doctest::Approx(1 - 11008.0 / (4 * 4096 + 3 * 11008)).epsilon(0.05).scale(0));
}
