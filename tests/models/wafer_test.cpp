// Laws of the closed form of a wafer, on both sides of their edges.

#include <fmt/format.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>

#include "tests/models/wafer_cases.hpp"

using namespace wb;
using namespace wb::wafer;
using namespace wb::wafer_cases;

TEST_CASE("wafer: every wafer of the shipped systems is a machine; one without fitted costs is refused") {
    for (const char* id : {"wse1", "wse2", "wse3", "cs4"}) CHECK(Machine(shipped(id)).row_start > 0);
    System s = shipped("wse2");
    s.fitted.erase("gemm_word_cycles");
    CHECK_THROWS_WITH_AS(Machine{s}, doctest::Contains("[fitted] has no \"gemm_word_cycles\""), Error);
}

TEST_CASE("wafer: a session adds up") {
    const Case c = on(model("decode", "llama3-8b", 4096), waferllm(), 420);
    const auto session = ready(c);
    const Sample s = session->run();
    double sum = 0;
    for (const Span& span : s.spans) {
        CHECK(span.start.si() == doctest::Approx(sum).scale(s.elapsed.si()));
        sum += span.duration.si();
        CHECK(span.phase == "decode");
    }
    CHECK(s.elapsed.si() == doctest::Approx(sum).scale(0));
    const ResourceUse use = session->usage();
    CHECK(use.useful.si() == c.graph->flops().si());
    CHECK(use.mapping == "420x420 layers in turn");  // two such rectangles fit, the weights fill three
    CHECK(ready(on(model("decode", "llama3-8b", 4096), waferllm(), 360))->usage().mapping == "360x360 3 regions");
    REQUIRE(use.memory.size() == 2);
    for (const MemoryUse& m : use.memory) CHECK(m.peak < m.capacity);
    CHECK(use.memory[1].peak.si() > 16.06e9);  // the weights
    CHECK(use.communication.front().bytes > Bytes(0));
    CHECK(use.energy->si() == doctest::Approx(15e3 * s.elapsed.si()).scale(0));  // whatever it does: no published split
    CHECK(make_wafer()->kind() == Kind::modelled);
    CHECK_FALSE(make_wafer()->suits(SystemKind::cluster));
}

TEST_CASE("wafer: a model fits until its cache fills the SRAM, and is refused one token later") {
    const auto fits = [](std::int64_t seq) {
        return refusal(on(model("decode", "llama3-8b", seq), waferllm())).empty();
    };
    std::int64_t most = 1, over = 400000;
    REQUIRE(fits(most));
    while (over - most > 1) {
        const std::int64_t middle = (most + over) / 2;
        (fits(middle) ? most : over) = middle;
    }
    // cache_tokens() leaves the activations of a token out.
    const double left = *make_wafer()->cache_tokens(on(model("decode", "llama3-8b", 1), waferllm(), 0, "shift"));
    CHECK(static_cast<double>(most) == about(left, 1e-3));
    const std::string why = refusal(on(model("decode", "llama3-8b", most + 1), waferllm()));
    CHECK(why == "needs 34.5 GB of SRAM, 1 wafer hold 34.5 GB");
    CHECK(refusal(on(model("decode", "llama3-8b", most + 1), waferllm(), 0, "", 2)) == "");  // two wafers hold it
}

TEST_CASE("wafer: what cannot be placed is refused with the number") {
    CHECK(refusal(on(model("decode", "llama3-70b", 64), shipped("wse3"))).starts_with("needs 141 GB of SRAM"));
    CHECK(refusal(on(model("decode", "llama3-70b", 64), shipped("wse3"), 0, "partial")) == "");
    CHECK(refusal(on(product(64, 64, 64), shipped("wse2"), 751)) == "751 x 751 PEs asked for, a wafer has 994 x 750");
    CHECK(refusal(on(product(64, 64, 64), shipped("wse2"), 750)) == "");
    CHECK(refusal(on(model("decode", "gpt2", 64), shipped("cs4"), 0, "", 2049)) ==
          "2049 wafers are more than the 2048 that are joined");
    CHECK(refusal(on(model("decode", "gpt2", 64), shipped("cs4"), 0, "", 2048)) == "");
    CHECK(refusal(on(product(64, 64, 64, "bf16"), shipped("wse2"))).find("compute in f32 and f16") !=
          std::string::npos);
    CHECK(refusal(on(product(64, 64, 64), shipped("h100-sxm"))) == "h100-sxm is no wafer");
    CHECK(refusal(on(product(1 << 17, 1 << 17, 1 << 17), shipped("wse2"))).starts_with("a PE needs "));
}

TEST_CASE("wafer: a buffer fits every PE until it is larger than the SRAM that programs leave") {
    const System s = shipped("wse2");
    const auto bytes = static_cast<std::int64_t>(Machine(s).usable_bytes()) / 4 * 4;
    const auto reduced = [&](std::int64_t n) {
        return on(built("collective", {{"op", std::string("allreduce")},
                                       {"bytes", std::to_string(n) + " B"},
                                       {"dtype", std::string("f32")}}),
                  s, 64);
    };
    CHECK(refusal(reduced(bytes)) == "");
    CHECK(refusal(reduced(bytes + 4)).starts_with("a PE needs 46."));
}

TEST_CASE("wafer: nothing is faster than the bound") {
    rc::check([] {
        const auto n = [](int most) { return static_cast<std::int64_t>(*rc::gen::inRange(1, most)); };
        const Case c =
            on(product(n(5000), n(5000), n(5000), *rc::gen::element<std::string>("f16", "f32")), shipped("wse2"));
        RC_ASSERT(seconds(c) >= bound(c));
    });
    for (const char* name : {"gpt2", "llama3-8b", "tiny-moe", "tiny-mla"})
        for (const char* pass : {"decode", "prefill", "train"})
            for (const char* id : {"wse2", "wse3"}) {
                INFO(name, " ", pass, " ", id);
                const Case c = on(model(pass, name, 128, 2), shipped(id));
                CHECK(seconds(c) >= bound(c));
            }
}

TEST_CASE("wafer: a faster machine is never slower") {
    const auto faster = [](const char* pass, const std::string& algorithm, auto change) {
        System s = shipped("wse2");
        const Graph g = model(pass, "llama2-7b", 512, 4);
        const double before = seconds(on(g, s, 0, algorithm));
        change(s);
        return seconds(on(g, s, 0, algorithm)) / before;
    };
    const auto bandwidth = [](System& s) { s.memories.back().bandwidth->value *= 2; };
    CHECK(faster("train", "", bandwidth) <= 1);
    CHECK(faster("decode", "streamed", bandwidth) ==
          doctest::Approx(0.5).epsilon(0.01).scale(0));  // nothing else counts
    CHECK(faster("decode", "", bandwidth) == 1);
    CHECK(faster("decode", "", [](System& s) { s.clock->value *= 2; }) == doctest::Approx(0.5));
    CHECK(faster("prefill", "", [](System& s) { s.fitted["gemm_word_cycles"].value /= 2; }) < 1);
    CHECK(faster("train", "", [](System& s) { s.fitted["update_parameter_time"].value /= 2; }) < 1);
}

TEST_CASE("wafer: an infinitely fast outside leaves training with its arithmetic, which more wafers share") {
    System s = shipped("wse3");
    s.memories.back().bandwidth->value = 1e30;
    s.fitted["update_parameter_time"].value = 0;
    const Graph g = model("train", "gpt2-xl", 1024, 64);
    const double one = seconds(on(g, s)), four = seconds(on(g, s, 0, "", 4));
    CHECK(one == doctest::Approx(bound(on(g, s)) / s.fitted["train_peak_fraction"].value).scale(0));
    CHECK(one / four == doctest::Approx(4));
    // With updates outside the wafers, more of them help only until those take longer.
    const double slow = seconds(on(g, shipped("wse3"), 0, "", 64));
    CHECK(slow ==
          doctest::Approx(shipped("wse3").fitted["update_parameter_time"].value * static_cast<double>(g.parameters()))
              .scale(0));
}

TEST_CASE("wafer: time is linear in the layers, and the chosen rectangle is the best of those forced") {
    const auto layers = [](std::int64_t n) {
        Graph g = built("decode", {{"model", std::string("llama3-70b")},
                                   {"seq", std::int64_t{1024}},
                                   {"layers", n},
                                   {"dtype", std::string("f16")}});
        return seconds(on(std::move(g), waferllm(), 400, "partial"));
    };
    CHECK(layers(80) - layers(40) == about(layers(60) - layers(20), 0.01));
    const Graph g = model("decode", "llama3-8b", 1024);
    const double chosen = seconds(on(g, waferllm()));
    for (int side : {60, 150, 300, 420, 600, 750}) CHECK(seconds(on(g, waferllm(), side)) >= chosen * (1 - 1e-9));
}

TEST_CASE("wafer: a batch passes several wafers as a pipeline") {
    const Machine m(shipped("wse3"));
    const Graph g = model("decode", "llama3-70b", 1024, 32);
    const Request r{g, 4, {}};
    const double whole = evaluate(m, r, {375, 375}, 1).time.si();
    const Search s = place(m, r);
    CHECK(s.best.pieces > 1);
    CHECK(s.best.time.si() < whole);
    CHECK(s.tried > 20);
    // A single sequence has no pieces to pass, and pays for each way from wafer to wafer.
    const Graph one = model("decode", "llama3-70b", 1024);
    const Placement p = evaluate(m, {one, 4, {}}, {375, 375}, 1);
    CHECK(p.between.si() == about(3 * (5e-6 + 8192 * 2 / 150e9), 1e-6));
    CHECK(place(m, {one, 4, {}}).best.pieces == 1);
}

TEST_CASE("wafer: a vendor's runtime gives every layer a region, and cuts prompts into pieces that follow each other") {
    const Machine m(shipped("wse3"));
    const Graph token = model("decode", "llama3-70b", 1024), prompt = model("prefill", "llama3-70b", 1000);
    for (const Graph* g : {&token, &prompt}) {
        const Search s = place(m, {*g, 4, {}});
        CHECK(s.best.grid.pes() * (80 + 2) <= 4 * m.whole().pes());
        CHECK(s.best.regions >= 80);
    }
    const Request r{prompt, 4, {}};
    const Placement best = place(m, r).best, whole = evaluate(m, r, best.grid, 1);
    CHECK(best.pieces > 8);
    CHECK(best.pieces <= 1000);
    CHECK(whole.time > best.time * 4.0);
    // Below the arithmetic of the peak nothing goes, and a slower network between the wafers sets the pace.
    CHECK(best.time.si() > bound(on(prompt, shipped("wse3"), 0, "", 4)));
    System slow = shipped("wse3");
    slow.fabrics.back().bandwidth->value /= 100;
    const Placement paced = evaluate(Machine(slow), r, best.grid, best.pieces);
    const double way = 1000 * 8192 * 2 / (150e9 / 100);
    CHECK(paced.time.si() > way);
    CHECK(paced.time.si() < best.time.si() + 1.1 * way);
    System plain = shipped("wse3");  // a runtime that takes prompts whole, as WaferLLM does
    for (const char* key : {"layer_regions", "piece_tokens"}) plain.fitted.erase(key);
    CHECK(place(Machine(plain), r).best.pieces == 1);
}

TEST_CASE("wafer: held-out loss needs weights in once, a step in twice and gradients out") {
    const System s = shipped("wse3");
    const Graph held_out = model("evaluate", "bert-large", 128, 4);
    CHECK(seconds(on(held_out, s)) ==
          doctest::Approx(s.fitted.at("update_parameter_time").value * static_cast<double>(held_out.parameters()) / 3)
              .scale(0));
}

TEST_CASE("wafer: the kernels' own laws") {
    const Machine m(shipped("wse2"));
    // A vector of 8 on one PE: 8 starts and 64 multiply-adds.
    CHECK(gemv(m, 1, 8, 8, DType::f32, {1, 1}, true).cycles() ==
          doctest::Approx(8 * (m.row_start + 8 * m.fma_cycles(DType::f32))));
    CHECK(reduce(m, 5, DType::f32, 1, true).cycles() == 0);
    // Everywhere is one multicast further; half as many words in f16.
    CHECK(reduce(m, 64, DType::f32, 100, true).fabric == doctest::Approx(100 + 10 * m.reduce_stage + 4 + 3 * 64));
    CHECK(reduce(m, 64, DType::f16, 100, false).fabric == doctest::Approx(50 + 10 * m.reduce_stage + 4 + 2 * 32));
    const Cost square = gemm(m, 100, 100, 100, DType::f32, {10, 10});
    CHECK(square.compute == doctest::Approx(10 * (m.gemm_step + 1000 * m.fma_cycles(DType::f32))));
    CHECK(square.fabric == doctest::Approx(10 * 200 * m.gemm_word));
    CHECK(share(101, 10) == 11);
    CHECK(share(100, 10) == 10);
}

TEST_CASE("wafer: a collective among wafers is no faster than its bound, and the network may add") {
    const auto reduced = [](const char* id, int wafers) {
        return on(
            built("collective",
                  {{"op", std::string("allreduce")}, {"bytes", std::string("1 GB")}, {"dtype", std::string("f32")}}),
            shipped(id), 0, "", wafers);
    };
    CHECK(seconds(reduced("wse3", 8)) == about(2 * 5e-6 + 1e9 / 150e9, 1e-9));
    CHECK(seconds(reduced("cs4", 3)) == about(4 * 2e-6 + 2 * 2.0 / 3 * 1e9 / 300e9, 1e-9));
    CHECK(seconds(reduced("cs4", 4)) == about(6 * 3e-6 + 2 * 3.0 / 4 * 1e9 / 300e9, 1e-9));  // beyond the rack
    for (const Case& c : {reduced("wse3", 8), reduced("wse3", 2), reduced("cs4", 3), reduced("cs4", 4)})
        CHECK(seconds(c) >= bound(c));
    const auto use = ready(reduced("wse3", 8))->usage();
    REQUIRE(use.communication.size() == 2);
    CHECK(use.communication[1].bytes.si() == 1e9);
}

TEST_CASE("wafer: an exchange of fewer elements than PEs still sends each a wavelet, as a gathering does") {
    const auto exchanged = [](const char* op, std::int64_t elements) {
        return seconds(on(built("collective", {{"op", std::string(op)},
                                               {"bytes", fmt::format("{} B", 4 * elements)},
                                               {"dtype", std::string("f32")}}),
                          shipped("wse2"), 32));
    };
    for (const std::int64_t few : {1, 100, 1023}) {
        CHECK(exchanged("alltoall", few) == exchanged("alltoall", 1024));
        CHECK(exchanged("allgather", few) == exchanged("allgather", 1024));
    }
    CHECK(exchanged("alltoall", 1025) > exchanged("alltoall", 1024));
}

TEST_CASE("wafer: attention that fits the whole mesh is placed, whatever smaller rectangles refuse") {
    const auto attention = [](std::int64_t seq) {
        return on(built("attention", {{"batch", std::int64_t{4}},
                                      {"heads", std::int64_t{32}},
                                      {"kv_heads", std::int64_t{8}},
                                      {"seq_q", seq},
                                      {"head_dim", std::int64_t{128}},
                                      {"causal", true},
                                      {"dtype", std::string("f16")}}),
                  shipped("wse2"));
    };
    CHECK(seconds(attention(1024)) > bound(attention(1024)));
    CHECK(seconds(attention(2048)) > seconds(attention(1024)));
    CHECK(refusal(attention(1 << 20)).starts_with("a PE needs "));
}

TEST_CASE("wafer: a forced algorithm runs or is refused by name") {
    CHECK(seconds(on(product(1024, 1024, 1024, "f32"), shipped("wse2"), 128, "summa")) !=
          seconds(on(product(1024, 1024, 1024, "f32"), shipped("wse2"), 128, "cannon")));
    CHECK(refusal(on(product(1024, 1024, 1024, "f32"), shipped("wse2"), 128, "strassen")) ==
          "no algorithm \"strassen\" for matmul there");
    CHECK(ready(on(product(1, 4096, 4096), shipped("wse2"), 256, "meshgemv"))->usage().mapping == "256x256 meshgemv");
}
