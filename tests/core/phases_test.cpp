#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/resize.hpp"
#include "core/tables.hpp"

using namespace wb;

namespace {

Graph build(const std::string& workload, const std::vector<std::pair<std::string, ParamValue>>& given) {
    return build_workload(workload, given, Files({std::string(WB_SOURCE_DIR) + "/configs"}));
}

const std::pair<std::string, ParamValue> tiny{"model", std::string("tiny-gpt2")};

Graph decode(std::int64_t cached) { return build("decode", {tiny, {"seq", cached}}); }

}  // namespace

TEST_CASE("a composition adds up its phases") {
    const auto a = std::make_shared<const Graph>(decode(8)), b = std::make_shared<const Graph>(decode(9));
    Graph g("both");
    g.then("one", 3, a);
    g.then("two", 1, b);
    CHECK(g.flops().si() == doctest::Approx(3 * a->flops().si() + b->flops().si()).epsilon(1e-12).scale(0));
    CHECK(g.compulsory_bytes().si() ==
          doctest::Approx(3 * a->compulsory_bytes().si() + b->compulsory_bytes().si()).epsilon(1e-12).scale(0));
    CHECK(g.parameters() == a->parameters());
    CHECK(g.leaves().size() == 2);
    CHECK(a->leaves() == std::vector<const Graph*>{a.get()});
    Graph other("both");
    other.then("one", 2, a);
    other.then("two", 1, b);
    CHECK(other.fingerprint() != g.fingerprint());
    CHECK_THROWS_AS(other.then("never", 0, a), Error);
}

TEST_CASE("resolving types keeps phases that share a graph sharing it") {
    const Graph g = build("pipeline", {tiny,
                                       {"seq", std::int64_t{8}},
                                       {"steps", std::int64_t{4}},
                                       {"checkpoint_every", std::int64_t{2}},
                                       {"dtype", std::string("16-bit")}});
    const Graph r = g.resolved(DType::bf16, DType::int8);
    CHECK(r.fingerprint() == g.fingerprint());
    CHECK(r.leaves().size() == g.leaves().size());
    for (const Graph* leaf : r.leaves())
        for (const Tensor& t : leaf->tensors()) CHECK(t.dtype != DType::any16);
}

TEST_CASE("a pipeline has the phases of a training job") {
    const Graph g = build("pipeline", {tiny,
                                       {"seq", std::int64_t{8}},
                                       {"batch", std::int64_t{2}},
                                       {"steps", std::int64_t{5}},
                                       {"checkpoint_every", std::int64_t{2}},
                                       {"evaluate_batches", std::int64_t{3}}});
    std::string text;
    for (const Phase& p : g.phases()) text += p.name + "x" + std::to_string(p.times) + " ";
    CHECK(text ==
          "stagex1 compilex1 loadx1 trainx2 checkpointx1 trainx2 checkpointx1 trainx1 checkpointx1 evaluatex3 ");
    const Graph step = build("train", {tiny, {"seq", std::int64_t{8}}, {"batch", std::int64_t{2}}});
    const Graph loss = build("evaluate", {tiny, {"seq", std::int64_t{8}}, {"batch", std::int64_t{2}}});
    CHECK(g.flops().si() == doctest::Approx(5 * step.flops().si() + 3 * loss.flops().si()).epsilon(1e-12).scale(0));
    CHECK(g.phases()[0].graph->tensors()[0].shape == Shape{(5 + 3) * 2 * 8});
}

TEST_CASE("a checkpoint holds weights and both moments once") {
    for (const char* model : {"tiny-gpt2", "tiny-llama", "tiny-moe", "tiny-mla"}) {
        const Graph g = build("checkpoint", {{"model", std::string(model)}});
        const Graph step = build("train", {{"model", std::string(model)}, {"seq", std::int64_t{1}}});
        double bytes = 0;
        const Graph& write = *g.phases()[0].graph;
        for (std::size_t i = 0; i < write.tensors().size(); ++i)
            bytes += write.bytes(tensor_id(i)).si() * static_cast<double>(write.instances(tensor_id(i)));
        CHECK(bytes == doctest::Approx(3.0 * 4 * static_cast<double>(step.parameters())));
        CHECK(g.flops() == Flops(0));
    }
}

TEST_CASE("generating is the arithmetic of its tokens one by one") {
    for (const std::int64_t tokens : {2, 9, 32, 33}) {
        const Graph g = build("generate", {tiny, {"seq", std::int64_t{16}}, {"tokens", tokens}});
        double one_by_one = build("prefill", {tiny, {"seq", std::int64_t{16}}}).flops().si();
        for (std::int64_t i = 0; i + 1 < tokens; ++i) one_by_one += decode(16 + i).flops().si();
        CHECK(g.flops().si() == doctest::Approx(one_by_one).epsilon(2e-3).scale(0));
        std::int64_t runs = 0;
        for (const Phase& p : g.phases()) runs += p.name == "decode" ? p.times : 0;
        CHECK(runs == tokens - 1);
    }
    CHECK_THROWS_AS(build("generate", {tiny, {"seq", std::int64_t{16}}, {"tokens", std::int64_t{1}}}), Error);
}

TEST_CASE("decode runs stand for the cache lengths of all their tokens, of one prompt and of many") {
    const double at_16 = decode(16).flops().si(), slope = decode(17).flops().si() - at_16;  // work is linear in it
    for (const std::string workload : {"generate", "coe"})
        for (const std::int64_t tokens : {2, 3, 9, 20, 32, 33, 64}) {
            CAPTURE(tokens);
            const std::int64_t requests = workload == "coe" ? 3 : 1, steps = tokens - 1;
            ParamList given{tiny, {"seq", std::int64_t{16}}, {"tokens", tokens}};
            if (workload == "coe")
                given.insert(given.end(), {{"router", std::string("tiny-gpt2")}, {"requests", requests}});
            std::int64_t played = 0, times = 0, longest = 0;
            double flops = 0;
            const Graph g = build(workload, given);
            for (const Phase& p : g.phases()) {
                if (p.name != "decode") continue;
                played += p.times * step_shape(*p.graph).cached;
                times += p.times;
                longest = std::max(longest, p.times / requests);
                flops += p.graph->flops().si() * static_cast<double>(p.times);
            }
            const std::int64_t wanted = requests * (16 * steps + steps * (steps - 1) / 2);  // 16 + 17 + ...
            CHECK(times == requests * steps);
            CHECK(2 * std::abs(played - wanted) <= requests * longest);
            const double one_by_one =
                static_cast<double>(times) * (at_16 - 16 * slope) + slope * static_cast<double>(wanted);
            CHECK(std::abs(flops - one_by_one) <= slope * static_cast<double>(requests * longest) / 2 + 1e-9 * flops);
        }
}
