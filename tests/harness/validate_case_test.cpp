#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

#include "core/error.hpp"
#include "harness/validate/case_maker.hpp"
#include "harness/validate/fitter.hpp"
#include "harness/validate/point_file.hpp"
#include "harness/validate/prediction.hpp"
#include "harness/validate/unseen.hpp"
#include "tests/temp_folder.hpp"

using namespace wb;

namespace {

const Files& shipped() {
    static const Files files({std::string(WB_SOURCE_DIR) + "/configs"});
    return files;
}

/// A point of a family on a shipped system.
Point point(const std::string& family, const std::string& system, const std::string& params,
            const std::string& metric = "time", double value = 1) {
    const Folder folder;
    const std::string path = (folder.path / "p.csv").string();
    std::ofstream(path) << point_columns << "\nX," << system << "," << family << "," << params << "," << metric << ","
                        << value << "," << find_metric(metric)->unit << ",my-group,raw,a,b\n";
    return read_points(path, shipped().names("systems", ".toml")).front();
}

struct Maker {
    SystemBook systems{shipped()};
    CaseMaker make{shipped(), systems, read_conditions(shipped())};
    Question ask(const Point& p) { return question_of(p, make); }
};

const Case& only(const Question& q) {
    CHECK(q.reason.empty());
    REQUIRE(q.terms.size() == 1);
    return q.terms.front().c;
}

}  // namespace

TEST_CASE("a product on a rectangle of a wafer, at the clock of the row") {
    Maker m;
    const Question q = m.ask(
        point("gemm", "wse2", "m=64;n=32;k=16;groups=3;dtype=fp32;algorithm=summa;mesh=8x4;clock_mhz=1100", "cycles"));
    const Case& c = only(q);
    CHECK(c.workload == "gemm");
    CHECK(c.params.key() == "m=64 n=32 k=16 batch=3 trans_a=false trans_b=false dtype=f32");
    CHECK(c.mapping.text() == "8x4 summa");
    CHECK(c.system->chosen.at("clock") == "maximum");
    CHECK(c.system->chosen.at("sram_bandwidth") == "maximum");  // what goes with that clock
    CHECK(q.factor == doctest::Approx(1.1e9));
    CHECK_FALSE(q.inverse);
    CHECK(c.graph->flops().si() == doctest::Approx(2.0 * 64 * 32 * 16 * 3));
}

TEST_CASE("units, mapping and microbatches of a training step") {
    Maker m;
    const Question q =
        m.ask(point("train_step", "h100-sxm",
                    "model=gpt3-175b;seq=2048;global_batch=1536;micro_batch=2;tp=4;pp=8;gpus=512;ep=1", "mfu", 0.5));
    const Case& c = only(q);
    CHECK(c.units == 512);
    CHECK(c.mapping.tensor == 4);
    CHECK(c.mapping.pipeline == 8);
    CHECK(c.mapping.data == 16);
    CHECK(c.mapping.microbatches == 1536 / 16 / 2);
    CHECK(q.inverse);
    const double peak = c.system->peak.at(DType::bf16).value;
    CHECK(q.factor == doctest::Approx(c.graph->matmul_flops().si() / 512 / peak));
}

TEST_CASE("fine-tuning: adapters are a workload of their own, all weights are trained as ever") {
    Maker m;
    const std::string row = "model=llama2-7b;seq=4096;global_batch=8;gpus=8;dp=8;dtype=fp8;finetune=";
    CHECK(only(m.ask(point("train_step", "h100-sxm", row + "lora", "time", 1))).workload == "finetune");
    CHECK(only(m.ask(point("train_step", "h100-sxm", row + "sft", "time", 1))).workload == "train");
    CHECK(m.ask(point("train_step", "h100-sxm", row + "prefix", "time", 1)).reason.find("(prefix)") !=
          std::string::npos);
    // Tensor ranks deal by tokens what they would repeat, unless the row says otherwise.
    const std::string shared = "model=llama2-7b;seq=4096;global_batch=8;gpus=8;tp=8";
    CHECK(only(m.ask(point("train_step", "h100-sxm", shared, "time", 1))).mapping.sequence_parallel);
    CHECK_FALSE(only(m.ask(point("train_step", "h100-sxm", shared + ";sequence_parallel=0", "time", 1)))
                    .mapping.sequence_parallel);
}

TEST_CASE("bus bandwidth and time say the same of a collective") {
    Maker m;
    const std::string params = "op=allreduce;bytes=1000000;gpus=4;nodes=1;gpus_per_node=4";
    const Question time = m.ask(point("collective", "a100-sxm-80g", params));
    const Question bus = m.ask(point("collective", "a100-sxm-80g", params, "bus_bandwidth"));
    CHECK(only(time).units == 4);
    CHECK(time.factor == 1);
    CHECK(bus.inverse);
    CHECK(bus.factor == doctest::Approx(1e6 * 2 * 3 / 4));
    CHECK(m.ask(point("collective", "a100-sxm-80g", "op=allgather;bytes=1000000;gpus=4", "bus_bandwidth")).factor ==
          doctest::Approx(1e6 * 3 / 4));
    CHECK(m.ask(point("collective", "a100-sxm-80g", "op=send_recv;bytes=1000000;gpus=2", "bus_bandwidth")).factor ==
          doctest::Approx(1e6));
}

TEST_CASE("smaller nodes are another machine, with a key of its own") {
    Maker m;
    const Question two =
        m.ask(point("collective", "a100-sxm-80g", "op=allreduce;bytes=1024;gpus=2;nodes=2;gpus_per_node=1"));
    const Question one =
        m.ask(point("collective", "a100-sxm-80g", "op=allreduce;bytes=1024;gpus=2;nodes=1;gpus_per_node=2"));
    CHECK(only(two).system->fabrics.front().units->value == 1);
    CHECK(only(one).system->fabrics.front().units->value == 2);
    CHECK(only(two).key != only(one).key);
}

TEST_CASE("a serve row is a prefill and decode steps at the mean context, with a move between placements") {
    Maker m;
    const Question q = m.ask(point("serve", "wse2",
                                   "model=llama3-8b;batch=1;input=2048;output=1000;gpus=1;dtype=fp16;"
                                   "prefill_mesh=660x660;decode_mesh=360x360",
                                   "tokens_per_s"));
    REQUIRE(q.terms.size() == 2);
    CHECK(q.terms[0].c.workload == "prefill");
    CHECK(q.terms[0].weight == 1);
    CHECK(q.terms[0].c.mapping.rows == 660);
    CHECK(q.terms[1].c.workload == "decode");
    CHECK(q.terms[1].weight == 1000);
    CHECK(q.terms[1].c.params.integer("seq") == 2548);
    CHECK(q.terms[1].c.mapping.columns == 360);
    CHECK(q.moves);
    CHECK(q.factor == 1000);
    CHECK(q.inverse);
}

TEST_CASE("a model that has no file is built from the row's own shape") {
    Maker m;
    const std::string shape = "hidden=1024;layers=4;heads=16;kv_heads=4;ffn=2816;vocab=1000;gated=1";
    const Question q =
        m.ask(point("decode", "h100-sxm", "model=mine;" + shape + ";batch=2;input=100;gpus=1", "tokens_per_s"));
    const Case& c = only(q);
    CHECK(c.params.word("model") == "{hidden=1024,layers=4,heads=16,kv_heads=4,ffn=2816,vocab=1000,gated=1}");
    // q and o 2 h^2, k and v 2 h h/4, three matrices of the MLP, and the head, times 2 a token; and the attention.
    const double weights = 4 * (2.5 * 1024 * 1024 + 3.0 * 1024 * 2816) + 1000.0 * 1024;
    CHECK(c.graph->matmul_flops().si() ==
          doctest::Approx(2 * 2 * weights + 4.0 * 2 * 101 * 1024 * 4).epsilon(0.01).scale(0));
    CHECK(q.factor == 2);
    const Question without =
        m.ask(point("decode", "h100-sxm", "model=mine;hidden=1024;batch=1;input=1", "tokens_per_s"));
    CHECK(without.reason == "model \"mine\" is not in configs/models and the row does not say layers");
}

TEST_CASE("mistakes in a shape name their key") {
    Maker m;
    const auto build = [&](const std::string& shape) {
        return m.make.make("decode", {{"model", shape}, {"seq", std::int64_t{4}}},
                           {m.systems.load("h100-sxm"), 1, true, {}});
    };
    CHECK_THROWS_WITH(build("{hidden=8"), "model: \"{hidden=8\" has no closing bracket (its shape is not whole).");
    CHECK_THROWS_WITH(build("{hiden=8}"),
                      "model: \"hiden\" is no part of a shape (it would be ignored). "
                      "Did you mean \"hidden\"?");
    CHECK_THROWS_WITH(build("{hidden=x}"),
                      "model: \"hidden=x\" is no key=number (a size is a whole number of at least 1).");
    CHECK_THROWS_WITH(build("{hidden=8,hidden=8}"), "model: \"hidden\" stands twice (only one can be true).");
    CHECK_THROWS_WITH(build("{hidden=8,layers=1,heads=1,ffn=8}"),
                      "model: the shape has no vocab (the layers cannot be built without it).");
}

TEST_CASE("a layer's operators have the shapes of one device, and their sum is the layer") {
    Maker m;
    const std::string layer =
        "model=gpt3-175b;phase=prefill;batch=8;seq_in=2048;seq_out=0;tp=4;hidden=12288;heads=96;"
        "kv_heads=96;ffn=49152;dtype=fp16;op=";
    const auto op = [&](const std::string& name) { return m.ask(point("layer", "a100-sxm-80g", layer + name)); };
    CHECK(only(op("qkv_proj")).params.key() == "m=16384 n=3072 k=12288 batch=1 trans_a=false trans_b=false dtype=f16");
    CHECK(only(op("q_mul_k")).params.key() == "m=2048 n=2048 k=128 batch=192 trans_a=false trans_b=false dtype=f16");
    CHECK(only(op("softmax")).params.integer("rows") == 8 * 24 * 2048);
    CHECK(only(op("allreduce_mha")).units == 4);
    CHECK(only(op("allreduce_mha")).params.word("bytes") == "402653184 B");
    CHECK(only(op("gelu")).units == 1);
    CHECK(op("layer_total").terms.size() == 12);
    CHECK(op("warp").reason == "no workload for the layer's operator \"warp\" yet");
}

TEST_CASE("what rows of products and decoding leave to convention") {
    Maker m;
    // BLAS counts by columns: its matrix that is not transposed lies by columns, as a transposed one of ours does.
    CHECK(only(m.ask(point("gemm", "v100-sxm2", "m=64;n=16;k=32;dtype=fp16;trans_a=0;trans_b=1"))).params.key() ==
          "m=64 n=16 k=32 batch=1 trans_a=true trans_b=false dtype=f16");
    CHECK(m.ask(point("layer", "a100-sxm-80g",
                      "phase=decode;batch=8;seq_in=2048;seq_out=1024;tp=4;hidden=12288;heads=96;kv_heads=96;ffn=49152;"
                      "dtype=fp16;op=qkv_proj"))
              .terms.front()
              .weight == 3);
    // Tensor ranks hold columns of a product, which are then gathered.
    const Question gemv = m.ask(point("gemm", "a100-sxm-80g", "m=1;n=16384;k=16384;dtype=fp16;gpus=16;nodes=2;tp=16"));
    REQUIRE(gemv.terms.size() == 2);
    CHECK(gemv.terms[1].c.workload == "collective");
    CHECK(gemv.terms[1].c.params.word("bytes") == "32768 B");
    // 16 ranks of a model with 8 key-value heads hold copies of them.
    const std::string llama =
        "model=llama3-8b;hidden=4096;layers=32;heads=32;kv_heads=8;ffn=14336;vocab=128256;gated=1;batch=1;input=4096;"
        "dtype=fp16;";
    CHECK(only(m.ask(point("decode", "a100-sxm-80g", llama + "gpus=16;nodes=2;tp=16", "tokens_per_s")))
              .params.word("model")
              .find("kv_heads=16") != std::string::npos);
    CHECK(only(m.ask(point("decode", "a100-sxm-80g", llama + "gpus=8;tp=8", "tokens_per_s"))).params.word("model") ==
          "llama3-8b");
}

TEST_CASE("what has no workload has a reason") {
    Maker m;
    CHECK(m.ask(point("pipeline", "wse3", "stage=warp;model=x")).reason ==
          "stage warp moves an amount of data the row does not tell");
    CHECK(m.ask(point("link", "wse2", "kind=host_channel", "bandwidth")).reason ==
          "a host_channel is a fact of its runtime, no model's");
    CHECK(m.ask(point("link", "h200-sxm", "kind=rdma_write;fabric=efa-200g", "bandwidth")).reason ==
          "the fabric between nodes is the site's (efa-200g), not the system file's");
    CHECK(m.ask(point("gemm", "wse2", "m=1;n=1")).reason == "the row does not say \"k\"");
    CHECK(m.ask(point("gemm", "wse2", "m=1;n=1;k=1;dtype=int4")).reason == "no workload in int4 yet");
    CHECK(m.ask(point("gemm", "wse2", "m=1;n=1;k=1;mesh=big")).reason == "mesh \"big\" is not written RxC");
    const char* slow = "model=llama2-70b;schedule=inflight;output=9;gpus=8;tp=8;power_limit_w=";
    CHECK(m.ask(point("serve", "l40s", slow + std::string("9"), "tokens_per_s")).reason ==
          "no model of a limit of power below the machine's own");
    CHECK(m.ask(point("serve", "h200-sxm", slow + std::string("900"), "tokens_per_s")).reason ==
          "no model of a limit of power below the machine's own");
    const System& half =
        *m.ask(point("serve", "h200-sxm", slow + std::string("350"), "tokens_per_s")).terms.at(0).c.system;
    const System& all =
        *m.ask(point("serve", "h200-sxm", "model=llama2-70b;schedule=inflight;output=9;gpus=8;tp=8", "tokens_per_s"))
             .terms.at(0)
             .c.system;
    CHECK(half.peak.at(DType::bf16).value ==
          doctest::Approx(all.peak.at(DType::bf16).value * std::pow(0.5, all.fitted.at("power_exponent").value))
              .epsilon(1e-9)
              .scale(0));
}

TEST_CASE("a row with batching in flight is a workload of requests; what it does not state is assumed and said") {
    Maker m;
    const Question q = m.ask(
        point("serve", "h100-sxm",
              "model=llama2-70b;schedule=inflight;load=max;input=128;output=64;gpus=8;tp=2;dtype=fp8", "tokens_per_s"));
    CHECK(q.reason.empty());
    CHECK(q.note.empty());
    CHECK(q.terms.at(0).c.workload == "serve");
    CHECK(q.terms[0].c.mapping.data == 4);
    CHECK(q.factor == doctest::Approx(30000 * 64));  // as many as the source has of that length
    const Question open =
        m.ask(point("serve", "h100-sxm", "model=llama2-70b;schedule=inflight;load=poisson;output=64;gpus=1;dtype=fp8",
                    "tokens_per_s"));
    CHECK(open.reason.empty());
    CHECK(open.note.find("prompts not stated") != std::string::npos);
    CHECK(open.note.find("rate not stated") != std::string::npos);
    CHECK(open.terms.at(0).c.params.word("find") == "knee");
}

TEST_CASE("every shipped row of an operator or a whole model becomes a case, or says why not") {
    Maker m;
    std::map<std::string, int> refused;
    for (const Point& p : read_all_points(shipped(), {})) {
        const Question q = m.ask(p);
        CHECK(q.reason.empty() == (!q.terms.empty() || q.asks == Question::Asks::program));
        if (!q.reason.empty()) ++refused[p.workload];
    }
    for (const char* family : {"gemm", "attention", "vector", "collective", "layer", "prefill", "energy", "memory"}) {
        CAPTURE(family);
        CHECK(refused[family] == 0);
    }
}

TEST_CASE("an energy ratio takes the reference's published time and its system file's power") {
    Maker m;
    const BackendSet backends;
    const auto alone = single_process();
    Predictor predictor(backends, *alone, {}, {1});
    const Question q = m.ask(point(
        "energy", "wse2", "op=gemv;m=1;n=16384;k=16384;dtype=fp16;reference=a100-sxm-80g;gpus=8", "energy_ratio", 50));
    REQUIRE(q.reason.empty());
    CHECK(q.terms.front().c.units == 1);
    CHECK(q.reference.front().c.units == 8);
    CHECK(q.reference.front().c.mapping.tensor == 8);
    REQUIRE(q.reference.size() == 2);  // where no time is published: the columns of the ranks are gathered too
    CHECK(q.reference[1].c.workload == "collective");
    const std::vector<Point> published{point("gemm", "a100-sxm-80g", "m=1;n=16384;k=16384;gpus=4", "time", 1e-3),
                                       point("gemm", "a100-sxm-80g", "m=1;n=16384;k=16384;gpus=8", "time", 2e-3)};
    const Prediction p = predictor.predict(q, "fake", published);
    REQUIRE(p.known);
    const double theirs = 8 * q.reference.front().c.system->power.at("unit").value * 2e-3;
    const double ours =
        q.terms.front().c.system->power.at("unit").value * 2.0 * 16384 * 16384 / 1e12;  // fake: 1 TFLOP/s
    CHECK(p.value == doctest::Approx(theirs / ours).epsilon(0.03).scale(0));
    CHECK(p.reason == "reference: time of X");
}

TEST_CASE("a link or a memory by itself is what the system file and the model say of it") {
    Maker m;
    const BackendSet backends;
    const auto alone = single_process();
    Predictor predictor(backends, *alone, {}, {1});
    const auto rate = [&](const char* system, const char* params) {
        const Prediction p = predictor.predict(m.ask(point("link", system, params, "bandwidth")), "cluster", {});
        CHECK(p.known);
        return p.value;
    };
    const System h100 = *m.ask(point("link", "h100-sxm", "kind=p2p", "bandwidth")).terms.at(0).c.system;
    CHECK(rate("h100-sxm", "kind=h2d;bidirectional=0") == doctest::Approx(63e9).epsilon(1e-6).scale(0));
    CHECK(rate("h100-sxm", "kind=p2p") < 450e9);
    CHECK(rate("h100-sxm", "kind=p2p") > 0.7 * 450e9);
    CHECK(rate("h100-sxm", "kind=local_copy") ==
          doctest::Approx(h100.fitted.at("vector_memory_fraction").value * 3350e9).epsilon(0.1).scale(0));
}

TEST_CASE("programs that no graph states are asked of the backends that know them") {
    Maker m;
    const BackendSet backends;
    const auto alone = single_process();
    Predictor predictor(backends, *alone, {}, {1});
    const auto ask = [&](const char* system, const char* params, const char* metric) {
        return predictor.predict(m.ask(point("hpc", system, params, metric)), "wafer", {});
    };
    const Prediction solver =
        ask("wse1", "op=bicgstab-stencil7;nx=600;ny=595;nz=1536;dtype=mixed-fp16-fp32;gpus=1", "flop_per_s");
    REQUIRE(solver.known);
    CHECK(solver.value == doctest::Approx(0.86e15).epsilon(0.25).scale(0));  // Rocki et al., SC 2020
    const Prediction seconds =
        ask("wse1", "op=bicgstab-stencil7;nx=600;ny=595;nz=1536;dtype=mixed-fp16-fp32;gpus=1", "time");
    CHECK(seconds.value * solver.value == doctest::Approx(44.0 * 600 * 595 * 1536).epsilon(1e-9).scale(0));
    const Prediction whole = ask("wse2", "op=stencil25;dims=3;dtype=fp32;gpus=2", "flop_per_s");
    CHECK(whole.reason.find("grid not stated") != std::string::npos);
    CHECK(whole.value ==
          doctest::Approx(2 * ask("wse2", "op=stencil25;gpus=1", "flop_per_s").value).epsilon(1e-9).scale(0));
    CHECK(ask("wse2", "op=md-eam;atoms=800000", "steps_per_s").reason.find("no closed form") != std::string::npos);
    CHECK(ask("wse2", "op=fft3d", "time").reason.find("no cube that fits") != std::string::npos);
    CHECK(ask("wse2", "op=stencil7;nx=2000;ny=9", "time").reason.find("750 x 994") != std::string::npos);
    CHECK_FALSE(predictor.predict(m.ask(point("hpc", "wse2", "op=stencil25", "time")), "fabric", {}).known);
}

TEST_CASE("where the units are not stated, the fewest that hold the work are assumed, and it is said") {
    Maker m;
    const BackendSet backends;
    const auto alone = single_process();
    Predictor predictor(backends, *alone, {}, {1});
    const Question q = m.ask(point("decode", "h100-sxm", "model=llama3-70b;batch=1", "tokens_per_s"));
    CHECK(q.search_units);
    const Prediction p = predictor.predict(q, "roofline", {});
    REQUIRE(p.known);
    CHECK(p.reason.starts_with("context not stated: 1024 assumed; units not stated: "));
    const Question told = m.ask(point("decode", "h100-sxm", "model=llama3-70b;batch=1;gpus=1", "tokens_per_s"));
    CHECK_FALSE(told.search_units);
    CHECK(predictor.predict(told, "roofline", {}).reason.find("1 x h100-sxm hold 80.0 GB") != std::string::npos);
}

TEST_CASE("a simulated case beyond the budget is left out with what it would take") {
    Maker m;
    const BackendSet backends;
    if (!backends.find("fabric")) return;
    const auto alone = single_process();
    const Question q = m.ask(point("vector", "wse2", "op=softmax;rows=64;cols=512;mesh=16x16;dtype=fp32", "cycles"));
    Predictor enough(backends, *alone, {}, {60}), none(backends, *alone, {}, {1e-9});
    CHECK(enough.predict(q, "fabric", {}).known);
    const Prediction p = none.predict(q, "fabric", {});
    CHECK_FALSE(p.known);
    CHECK(p.reason.find("the budget of a case is 1e-09 s") != std::string::npos);
}

TEST_CASE("a fit finds constants, and what they are without each part of the rows") {
    const std::vector<FitSpec> fits = read_fits(shipped());
    REQUIRE(!fits.empty());
    const FitSpec& spec = fits.front();
    const BackendSet backends;
    const auto alone = single_process();
    SystemBook systems(shipped());
    CaseMaker make(shipped(), systems, read_conditions(shipped()));
    Predictor predictor(backends, *alone, {}, {1});
    const std::vector<Point> points = read_all_points(shipped(), {});
    Fitter fitter(systems, make, predictor, points, [] {});
    const FitResult r = fitter.run(spec);
    CHECK(r.points.size() > spec.constants.size());
    CHECK(r.in_sample.median <= r.as_stored.p90 + 1e-9);
    CHECK(r.parts >= 2);
    CHECK(r.left_out_factors.size() == r.points.size());
    for (std::size_t i = 0; i < r.fitted.size(); ++i) {
        CHECK(r.lowest[i] <= r.fitted[i]);
        CHECK(r.fitted[i] <= r.highest[i]);
    }
    // Afterwards the systems are as their files say.
    const FitSpec::Constant& c = spec.constants.front();
    System now = *systems.load(spec.systems.front());
    CHECK(facts_of(now, c.table).at(c.key).value == systems.constant(c.in(spec.systems.front())).value);
}

TEST_CASE("as if unseen: a fitted system by a relative's constants, an unfitted one as it is") {
    std::vector<FitSpec> fits = read_fits(shipped());
    std::erase_if(fits, [](const FitSpec& f) { return f.name != "products on H100" && f.name != "products on A100"; });
    REQUIRE(fits.size() == 2);
    const BackendSet backends;
    const auto alone = single_process();
    SystemBook systems(shipped());
    CaseMaker make(shipped(), systems, read_conditions(shipped()));
    Predictor predictor(backends, *alone, {}, {1});
    const std::vector<Point> points{point("gemm", "h100-sxm", "m=4096;n=4096;k=1024;dtype=fp16"),
                                    point("gemm", "gaudi3", "m=4096;n=4096;k=1024;dtype=bf16")};
    std::vector<Judged> rows;
    std::vector<BandSample> seen;
    for (const Point& p : points) {
        rows.push_back({&p, "cluster", predictor.predict(question_of(p, make), "cluster", points)});
        REQUIRE(rows.back().prediction.known);
        seen.push_back({"cluster", "cluster", "gemm", "my-group", p.system, rows.back().time_factor()});
    }
    const std::vector<BandSample> unseen = unseen_samples(rows, seen, fits, systems, make, predictor, points);
    REQUIRE(unseen.size() == 2);
    CHECK(unseen[0].system == "gaudi3");
    CHECK(unseen[0].factor == seen[1].factor);
    CHECK(unseen[1].system == "h100-sxm");
    CHECK(std::abs(unseen[1].factor / seen[0].factor - 1) > 0.01);
    // A system that takes over the constants of another says what it would say: A100's in H100's file.
    for (const FitSpec::Constant& c : fits[0].constants)
        systems.replace(c.in("h100-sxm"), systems.constant({"a100-sxm-80g", c.table, c.key, c.alternative}).value);
    predictor.forget();
    const Judged by_hand{&points[0], "cluster", predictor.predict(question_of(points[0], make), "cluster", points)};
    CHECK(by_hand.time_factor() == unseen[1].factor);
}

TEST_CASE("every entry of the list of fits names a backend, a constant and a group that exist") {
    SystemBook systems(shipped());
    const BackendSet backends;
    const std::vector<Point> points = read_all_points(shipped(), {});
    for (const FitSpec& f : read_fits(shipped())) {
        CAPTURE(f.name);
        CHECK(backends.find(f.backend) != nullptr);
        for (const std::string& system : f.systems)
            for (const FitSpec::Constant& c : f.constants) CHECK(std::isfinite(systems.constant(c.in(system)).value));
        for (const std::string& group : f.groups)
            CHECK((f.awaited || std::any_of(points.begin(), points.end(),
                                            [&](const Point& p) { return name_matches(group, p.group); })));
    }
    CHECK_THROWS_AS(systems.constant({"wse2", "fitted", "no_such", ""}), Error);
    CHECK_THROWS_AS(systems.constant({"wse2", "figures", "x", ""}), Error);
    CHECK_THROWS_AS(systems.constant({"nobody", "fitted", "x", ""}), Error);
}
