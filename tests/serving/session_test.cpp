#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "core/resize.hpp"
#include "core/serving.hpp"
#include "core/tables.hpp"
#include "harness/composed_session.hpp"
#include "harness/declined.hpp"
#include "harness/serving/backend_steps.hpp"
#include "harness/serving/metrics.hpp"

using namespace wb;

namespace {

using Given = std::vector<std::pair<std::string, ParamValue>>;

Files files() { return Files({std::string(WB_SOURCE_DIR) + "/configs"}); }

Graph build(const std::string& workload, const Given& given) { return build_workload(workload, given, files()); }

const Backend& backend(const std::string& name) {
    static std::map<std::string, std::unique_ptr<Backend>> made;
    for (const BackendRow& row : all_backends())
        if (row.name == name && !made[name]) made[name] = row.make();
    return *made.at(name);
}

Case serve_case(const std::string& system, int units, Given given) {
    given.insert(given.begin(), {{"model", std::string("llama3-8b")},
                                 {"requests", std::int64_t{64}},
                                 {"input", std::int64_t{128}},
                                 {"output", std::int64_t{32}},
                                 {"dtype", std::string("8-bit")}});
    Case c;
    c.system = std::make_shared<const System>(load_system(files().find("systems/" + system + ".toml")));
    c.units = units;
    c.graph = c.small = std::make_shared<const Graph>(
        build("serve", given)
            .resolved(c.system->native16.value_or(DType::bf16), c.system->native8.value_or(DType::fp8_e4m3)));
    return c;
}

double value_of(const ResourceUse& use, const std::string& name) {
    for (const Series& s : use.series)
        if (s.name == name) return s.values.back();
    return NAN;
}

}  // namespace

TEST_CASE("a graph for another batch is the graph that the workload would have built") {
    for (const char* model : {"tiny-gpt2", "tiny-llama", "tiny-moe", "tiny-mla"}) {
        CAPTURE(model);
        const auto of = [&](const char* workload, std::int64_t batch, std::int64_t seq) {
            return build(workload, {{"model", std::string(model)}, {"batch", batch}, {"seq", seq}});
        };
        CHECK(resized(of("decode", 2, 9), {5, 1, 17}).fingerprint() == of("decode", 5, 17).fingerprint());
        CHECK(resized(of("prefill", 1, 8), {3, 21, 0}).fingerprint() == of("prefill", 3, 21).fingerprint());
    }
    const Graph decode = build(
        "decode", {{"model", std::string("llama3-8b")}, {"seq", std::int64_t{100}}, {"dtype", std::string("bf16")}});
    CHECK(cache_bytes_per_token(decode) == 2 * 2 * 32 * 8 * 128);  // K and V, 2 bytes, layers, heads, width
    CHECK_THROWS_AS(step_shape(build("gemm", {{"m", std::int64_t{2}}, {"n", std::int64_t{2}}, {"k", std::int64_t{2}}})),
                    Error);
}

TEST_CASE("requests survive their way through a graph and are part of its fingerprint") {
    Serving s;
    s.requests = {{0, 5, 6}, {0.1, 7, 8}};
    s.ttft_s = 0.3;
    s.policy = BatchPolicy::chunked;
    CHECK(serving_from(text(s)) == s);
    Graph a("serve"), b("serve");
    then_requests(a, s);
    CHECK(serving_of(a.resolved(DType::bf16, DType::int8)) == s);
    s.requests[1].arrival_s = 0.2;
    then_requests(b, s);
    CHECK(a.fingerprint() != b.fingerprint());
    CHECK(!serving_of(build(
        "generate", {{"model", std::string("tiny-gpt2")}, {"seq", std::int64_t{4}}, {"tokens", std::int64_t{4}}})));
}

TEST_CASE("a grid gives its points exactly, a straight line between, and goes on where it ends") {
    int asked = 0;
    serving::LazyGrid grid([&](std::int64_t x, std::int64_t y) -> std::optional<double> {
        ++asked;
        if (y > 100) return std::nullopt;
        return 2.0 * static_cast<double>(x) + 3.0 * static_cast<double>(y) + static_cast<double>(x * y);
    });
    for (const double x : {1.0, 2.0, 3.0, 5.0, 700.0, 768.0})
        for (const double y : {1.0, 1.5, 48.0, 77.0, 96.0, 120.0, 500.0})
            CHECK(grid.at(x, y) == doctest::Approx(2 * x + 3 * y + x * y));
    CHECK(asked == static_cast<int>(grid.asked()));
}

TEST_CASE("served by a model: FLOPs are conserved, tokens per second follow, memory bounds the batch") {
    const auto comm = single_process();
    const Case c = serve_case("h100-sxm", 2, {});
    REQUIRE(supports(backend("cluster"), c, 1).yes);
    const auto session = prepare(backend("cluster"), c, *comm);
    const Sample sample = session->run();
    const ResourceUse use = session->usage();
    CHECK(use.useful.si() == doctest::Approx(c.graph->flops().si()).epsilon(1e-9).scale(0));
    CHECK(value_of(use, "throughput") == doctest::Approx(64 * 32 / sample.elapsed.si()).scale(0));
    CHECK(value_of(use, "attained") == 1);
    CHECK(use.mapping == "dp2");
    CHECK(!serving::serving_line(use.series).empty());
    for (const MemoryUse& m : use.memory)
        if (m.level == "cache") CHECK(m.peak.si() <= m.capacity.si());
    const Support no = supports(backend("cluster"), serve_case("h100-sxm", 1, {{"input", std::int64_t{4'000'000}}}), 1);
    CHECK(!no.yes);
    CHECK(no.reason.find("fit beside the weights") != std::string::npos);
}

TEST_CASE("where only the stages of a pipeline hold the model together, each has a batch in flight") {
    const auto comm = single_process();
    const Case c = serve_case("groq-lpu", 256, {});
    REQUIRE(supports(backend("cluster"), c, 1).yes);
    const auto session = prepare(backend("cluster"), c, *comm);
    const double all = session->run().elapsed.si();
    const ResourceUse use = session->usage();
    CHECK(use.mapping.find("pp") != std::string::npos);
    CHECK(use.detail.find("batches in flight") != std::string::npos);
    for (const MemoryUse& m : use.memory)
        if (m.level == "cache") CHECK(m.peak.si() <= m.capacity.si());
    // One request alone leaves the other stages idle: eight take as long as one.
    const auto seconds = [&](std::int64_t requests) {
        const auto few = prepare(backend("cluster"), serve_case("groq-lpu", 256, {{"requests", requests}}), *comm);
        return few->run().elapsed.si();
    };
    CHECK(seconds(2) == doctest::Approx(seconds(1)).epsilon(1e-6).scale(0));
    CHECK(all < 64 * seconds(1));
}

TEST_CASE("a modelled server takes the power of its units, at work and between steps") {
    const auto comm = single_process();
    Case c = serve_case("h100-sxm", 2, {{"arrival", std::string("poisson:2/s")}});
    auto idling = std::make_shared<System>(*c.system);
    const double work_w = c.system->power.at("unit").value, idle_w = 0.25 * work_w;
    const auto used = [&](const std::shared_ptr<const System>& system, Seconds& makespan) {
        c.system = system;
        const auto session = prepare(backend("cluster"), c, *comm);
        makespan = session->run().elapsed;
        return session->usage();
    };
    Seconds makespan;
    const ResourceUse all = used(c.system, makespan);
    REQUIRE(all.energy);
    CHECK(all.energy->si() == doctest::Approx(2 * work_w * makespan.si()).scale(0));
    CHECK(value_of(all, "energy_per_token") == doctest::Approx(all.energy->si() / (64 * 32)).scale(0));
    idling->power["idle"].value = idle_w;
    const ResourceUse less = used(idling, makespan);
    double busy = 0;
    for (const PhaseUse& p : less.phases) {
        REQUIRE(p.energy);
        CHECK(p.energy->si() == doctest::Approx(2 * work_w * p.time.si()).scale(0));
        busy += p.time.si();
    }
    CHECK(busy < 0.5 * makespan.si());  // two requests a second leave it waiting
    CHECK(less.energy->si() == doctest::Approx(2 * (work_w * busy + idle_w * (makespan.si() - busy))).scale(0));
    CHECK(value_of(less, "idle_energy") == doctest::Approx(2 * idle_w * (makespan.si() - busy)).scale(0));
    CHECK(less.detail.find(" a token") != std::string::npos);
    const auto bound = prepare(backend("roofline"), c, *comm);
    bound->run();
    CHECK(!bound->usage().energy);
}

TEST_CASE("the bound is never slower than the model, and a wafer serves too") {
    const auto comm = single_process();
    const Case c = serve_case("h100-sxm", 1, {});
    const double bound = prepare(backend("roofline"), c, *comm)->run().elapsed.si();
    const double model = prepare(backend("cluster"), c, *comm)->run().elapsed.si();
    CHECK(bound > 0);
    CHECK(bound <= model);
    const Case one = serve_case("h100-sxm", 1, {{"policy", std::string("disaggregated")}});
    CHECK(supports(backend("cluster"), one, 1).reason.find("two replicas") != std::string::npos);
    const Case wafer = serve_case("wse2", 1, {{"dtype", std::string("f16")}, {"max_batch", std::int64_t{4}}});
    REQUIRE(supports(backend("wafer"), wafer, 1).yes);
    CHECK(prepare(backend("wafer"), wafer, *comm)->run().elapsed.si() > 0);
}

TEST_CASE("units are cut into the replicas that bear the highest load at the service level") {
    const auto comm = single_process();
    const auto knee = [&](const std::string& system, const std::string& by, int units, Given more) {
        more.insert(more.end(), {{"arrival", std::string("poisson:1/s")},
                                 {"find", std::string("knee")},
                                 {"slo_ttft", std::string("1 s")},
                                 {"slo_tpot", std::string("30 ms")},
                                 {"requests", std::int64_t{2000}}});  // long beside a request, for each of four
        const Case c = serve_case(system, units, more);
        REQUIRE(supports(backend(by), c, 1).yes);
        const auto session = prepare(backend(by), c, *comm);
        session->run();
        const ResourceUse use = session->usage();
        return std::pair(use.mapping, value_of(use, "goodput"));
    };
    // More memory at the same speed admits one more way to cut the units, which may not do harm.
    const Given large{{"model", std::string("llama3.1-70b")}, {"dtype", std::string("16-bit")}};
    CHECK(knee("h200-sxm", "cluster", 8, large).second >= knee("h100-sxm", "cluster", 8, large).second);
    // A wafer that holds the model is a replica of its own.
    const Given small{{"dtype", std::string("f16")}};
    const auto one = knee("wse3", "wafer", 1, small), four = knee("wse3", "wafer", 4, small);
    CHECK(four.first.find("dp4") != std::string::npos);
    CHECK(four.second > 3 * one.second);
    // 8-bit integers over several ranks: products of integers must not stay as wide as their sums.
    const Case integers = serve_case("a100-sxm-80g", 8, {{"model", std::string("llama3.1-70b")}});
    CHECK(prepare(backend("cluster"), integers, *comm)->run().elapsed.si() > 0);
}

TEST_CASE("what no replica can do is told of the largest") {
    const Case c = serve_case("h100-sxm", 8, {{"model", std::string("llama3.1-405b")}, {"dtype", std::string("bf16")}});
    const Support s = supports(backend("cluster"), c, 1);
    CHECK(!s.yes);
    CHECK(s.reason.find("tp8") != std::string::npos);
    const auto comm = single_process();
    const Case hasty = serve_case("wse3", 1,
                                  {{"dtype", std::string("f16")},
                                   {"arrival", std::string("poisson:1/s")},
                                   {"find", std::string("knee")},
                                   {"slo_ttft", std::string("1 us")}});
    CHECK_THROWS_AS(prepare(backend("wafer"), hasty, *comm), Declined);
}
