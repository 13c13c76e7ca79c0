#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <filesystem>
#include <thread>

#include "core/error.hpp"
#include "core/partition.hpp"
#include "core/tables.hpp"
#include "kernels/cpu/session.hpp"
#include "kernels/reference/collective.hpp"
#include "kernels/reference/reference.hpp"
#include "tests/kernels/judged_outputs.hpp"
#include "tests/kernels/thread_comm.hpp"

namespace wb {
std::unique_ptr<Backend> make_cpu();
}

using namespace wb;

namespace {

/// The graph of a workload with its parameters' fallbacks, changed by `overrides`.
Graph graph_of(const std::string& workload, const Overrides& overrides) {
    return build_workload(workload, overrides, files());
}

Case case_of(Graph graph, int ranks = 1, int threads = 2) {
    Case c;
    c.graph = std::make_shared<const Graph>(std::move(graph));
    auto host = std::make_shared<System>();
    host->id = host->title = "this host";
    host->kind = SystemKind::host;
    c.system = host;
    c.threads = threads;
    c.mapping.tensor = ranks;
    c.seed = 7;
    return c;
}

struct Shared {
    Outputs outputs;  ///< whole, of the last run
    std::vector<ResourceUse> use;
    std::string failure;
};

/// Runs a case on all ranks of its mapping, `runs` times.
Shared run(const Case& c, int runs) {
    const int ranks = c.mapping.units();
    Team team(ranks);
    Shared all;
    all.use.resize(ranks);
    std::vector<std::thread> threads;
    for (int r = 0; r < ranks; ++r)
        threads.emplace_back([&, r] {
            try {
                ThreadComm comm(team, r);
                const auto session = make_cpu()->prepare(c, comm);
                for (int i = 0; i < runs; ++i) {
                    session->poison();
                    session->run();
                }
                if (auto out = session->outputs()) all.outputs = std::move(*out);
                all.use[r] = session->usage();
            } catch (const std::exception& e) {
                all.failure = e.what();
                team.barrier_.arrive_and_drop();  // the others must not wait for this rank
            }
        });
    for (std::thread& t : threads) t.join();
    return all;
}

double tolerance_of(const std::string& dtype) { return dtype == "bf16" ? 6e-2 : dtype == "f64" ? 1e-12 : 2e-4; }

/// A graph on one rank, after one run and after two (or as many as `most`), against the judge.
void check(const std::string& workload, Overrides overrides, const std::string& dtype, int most = 2) {
    overrides.emplace_back("dtype", dtype);
    std::string label = workload;
    for (const auto& [key, value] : overrides) label += fmt::format(" {}={}", key, text(value));
    CAPTURE(label);
    const Case c = case_of(graph_of(workload, overrides));
    REQUIRE_MESSAGE(make_cpu()->supports(c, 1).yes, make_cpu()->supports(c, 1).reason);
    const auto comm = single_process();
    const auto session = make_cpu()->prepare(c, *comm);
    for (int runs = 1; runs <= most; ++runs) {
        session->poison();
        session->run();
        CHECK(difference(*session->outputs(), reference::execute(*c.graph, c.seed, runs), *c.graph, tolerance_of(dtype),
                         2 * rate * runs) == "");
    }
    const ResourceUse use = session->usage();
    CHECK(use.useful.si() == c.graph->flops().si());
    CHECK(use.overhead.si() == 0);
}

std::int64_t operator""_i(unsigned long long n) { return static_cast<std::int64_t>(n); }

Overrides model(const std::string& name, std::int64_t seq = 13) {
    return {{"model", name}, {"batch", 2_i}, {"seq", seq}, {"shrunk", true}};
}

}  // namespace

TEST_CASE("cpu: heads' products by a library and by own loops are the judge's, on each head's columns") {
    for (const DType type : {DType::f32, DType::bf16})
        for (const std::int64_t rows : {5, 33, 70}) {
            CAPTURE(rows);
            Graph g("heads");
            Attributes a;
            a.heads = 3;
            a.rotary_dim = 5;
            const TensorId x = g.input("x", {rows, 3 * (20 + 5)}, type, {Fill::Kind::uniform, 1.0});
            const TensorId w = g.weight("w", {3, 20, 100}, type, {Fill::Kind::uniform, 1.0});
            g.mark_output(g.apply(OpKind::head_matmul, "y", {x, w}, a)[0]);
            const Case c = case_of(std::move(g));
            const auto comm = single_process();
            const auto session = make_cpu()->prepare(c, *comm);
            session->poison();
            session->run();
            CHECK(difference(*session->outputs(), reference::execute(*c.graph, c.seed, 1), *c.graph,
                             type == DType::f32 ? 1e-6 : 8e-3) == "");
        }
}

TEST_CASE("cpu: bare products, every layout and type") {
    for (const char* type : {"f32", "bf16", "f64"})
        for (int layout = 0; layout < 4; ++layout)
            for (std::int64_t batch : {1, 3})
                check("gemm",
                      {{"m", 33_i},
                       {"n", 47_i},
                       {"k", 29_i},
                       {"batch", batch},
                       {"trans_a", layout % 2 == 1},
                       {"trans_b", layout / 2 == 1}},
                      type);
    for (const char* type : {"f32", "bf16"}) check("gemv", {{"m", 70_i}, {"k", 51_i}}, type);
}

TEST_CASE("cpu: bare operators") {
    for (const char* type : {"f32", "bf16"}) {
        for (const char* op :
             {"softmax", "layernorm", "rmsnorm", "gelu", "silu_mul", "rope", "add", "cross_entropy", "adamw"})
            check("vector", {{"op", std::string(op)}, {"rows", 21_i}, {"cols", 72_i}, {"heads", 3_i}}, type);
        for (const char* pass : {"forward", "forward_backward"}) {
            const std::string p = pass;
            check("attention",
                  {{"batch", 2_i},
                   {"heads", 4_i},
                   {"kv_heads", 2_i},
                   {"seq_q", 17_i},
                   {"seq_kv", 23_i},
                   {"head_dim", 12_i},
                   {"pass", p}},
                  type);
            check("attention",
                  {{"heads", 3_i}, {"seq_q", 31_i}, {"head_dim", 16_i}, {"causal", true}, {"window", 6_i}, {"pass", p}},
                  type);
        }
        check("collective", {{"op", std::string("allreduce")}, {"bytes", std::string("1 KiB")}}, type);
    }
}

TEST_CASE("cpu: small models train, prefill and decode as the reference does") {
    for (const char* type : {"f32", "bf16"})
        for (const char* name : {"tiny-gpt2", "tiny-llama", "tiny-moe", "tiny-mla"})
            for (const char* pass : {"train", "prefill", "decode"}) {
                // A second step in bf16 may send a token to another expert where two are nearly equal.
                const bool has_experts = std::string(name) == "tiny-moe" || std::string(name) == "tiny-mla";
                check(pass, model(name), type, has_experts && std::string(type) == "bf16" ? 1 : 2);
            }
}

TEST_CASE("cpu: adapters are trained as the reference does, beside attention or beside all") {
    for (const char* name : {"tiny-gpt2", "tiny-llama", "tiny-moe", "tiny-mla"})
        for (const char* where : {"attention", "all"}) {
            Overrides with = model(name);
            with.emplace_back("adapters", std::string(where));
            with.emplace_back("rank", 4_i);
            check("finetune", with, "f32", 2);
        }
}

TEST_CASE("cpu: every model's architecture, shrunk, as the reference does") {
    for (const std::string& name : files().names("models", ""))
        for (const char* pass : {"train", "prefill", "decode"}) check(pass, model(name, 7), "f32");
}

namespace {

/// Shares a graph among ranks and checks results, conservation of work and bytes. False: the partition declines it.
bool check_shared(const std::string& workload, Overrides overrides, const std::string& mapping,
                  const std::string& dtype) {
    overrides.emplace_back("dtype", dtype);
    std::string label = fmt::format("{} {}", workload, mapping);
    for (const auto& [key, value] : overrides) label += fmt::format(" {}={}", key, text(value));
    CAPTURE(label);
    Case c = case_of(graph_of(workload, overrides), 1, 1);
    c.mapping = Mapping::parse(mapping);
    const int ranks = c.mapping.units();
    const Support support = make_cpu()->supports(c, ranks);
    if (!support.yes) {
        MESSAGE(label, ": ", support.reason);
        return false;
    }
    constexpr int runs = 2;
    const Shared all = run(c, runs);
    REQUIRE(all.failure == "");
    CHECK(difference(all.outputs, reference::execute(*c.graph, c.seed, runs), *c.graph, tolerance_of(dtype),
                     2 * rate * runs) == "");
    double useful = 0;
    for (int r = 0; r < ranks; ++r) {
        useful += all.use[r].useful.si();
        double bytes = 0;
        for (const CommUse& use : all.use[r].communication) bytes += use.bytes.si();
        if (c.mapping.data == 1) CHECK(bytes == communication_bytes(partition(*c.graph, c.mapping, r).local).si());
        CHECK(all.use[r].memory.size() == 6);
    }
    CHECK(useful == doctest::Approx(c.graph->flops().si()).epsilon(1e-12).scale(0));
    return true;
}

bool check_shared(const std::string& workload, const Overrides& overrides, int ranks, const std::string& dtype) {
    return check_shared(workload, overrides, fmt::format("tp{}", ranks), dtype);
}

}  // namespace

TEST_CASE("cpu: models shared by tensor parallelism give the same results and lose no work") {
    for (const char* name : {"tiny-gpt2", "tiny-llama", "tiny-moe", "tiny-mla"})
        for (const char* pass : {"train", "prefill", "decode"}) {
            CHECK(check_shared(pass, model(name, 9), 2, "f32"));
            check_shared(pass, model(name, 9), 4, "f32");
        }
    for (const std::string& name : files().names("models", ""))
        for (const char* pass : {"train", "decode"}) CHECK(check_shared(pass, model(name, 6), 2, "f32"));
    CHECK(check_shared("train", model("tiny-gpt2", 9), 4, "bf16"));
    for (const char* name : {"tiny-gpt2", "tiny-llama", "tiny-moe", "tiny-mla"}) {
        Overrides with = model(name, 9);
        with.emplace_back("adapters", std::string("all"));
        with.emplace_back("rank", 4_i);
        CHECK(check_shared("finetune", with, 2, "f32"));
    }
    CHECK(check_shared("decode", model("gptj-6b", 9), 2, "bf16"));
}

TEST_CASE("cpu: sequences shared by ranks, and the model as well, give the same results and lose no work") {
    for (const char* name : {"tiny-gpt2", "tiny-llama", "tiny-moe", "tiny-mla"})
        for (const char* pass : {"train", "evaluate", "prefill", "decode"})
            for (const char* mapping : {"dp2", "tp2 dp2"}) CHECK(check_shared(pass, model(name, 9), mapping, "f32"));
    for (const char* pass : {"train", "decode"}) CHECK(check_shared(pass, model("llama3-8b", 6), "tp2 dp2", "f32"));
}

TEST_CASE("cpu: bare operators shared by ranks") {
    CHECK(check_shared("gemm", {{"m", 33_i}, {"n", 47_i}, {"k", 29_i}}, 4, "f32"));
    CHECK(check_shared("gemm", {{"m", 33_i}, {"n", 47_i}, {"k", 29_i}, {"batch", 5_i}}, 2, "f64"));
    CHECK(check_shared("gemv", {{"m", 70_i}, {"k", 51_i}}, 4, "f32"));
    for (const char* op : {"softmax", "layernorm", "rmsnorm", "gelu", "silu_mul", "add"})
        CHECK(check_shared("vector", {{"op", std::string(op)}, {"rows", 21_i}, {"cols", 72_i}}, 4, "f32"));
    for (const char* pass : {"forward", "forward_backward"})
        CHECK(check_shared("attention", {{"batch", 2_i}, {"heads", 4_i}, {"seq_q", 17_i}, {"pass", std::string(pass)}},
                           2, "f32"));
}

TEST_CASE("cpu: bare collectives leave on every rank what the definition says") {
    for (const char* op : {"allreduce", "allgather", "reduce_scatter", "alltoall", "broadcast", "send_recv"})
        for (const int ranks : {2, 4})
            for (const char* type : {"f32", "bf16"}) {
                const Case c = case_of(
                    graph_of("collective",
                             {{"op", std::string(op)}, {"bytes", std::string("1 KiB")}, {"dtype", std::string(type)}}),
                    ranks, 1);
                CAPTURE(op);
                const Shared all = run(c, 1);
                const Tensor& x = c.graph->tensors()[0];
                REQUIRE(all.outputs.size() == static_cast<std::size_t>(ranks));
                Outputs wanted;
                for (int r = 0; r < ranks; ++r)
                    wanted.push_back({"y", all.outputs[r].tensor, r, x.dtype,
                                      reference::collective_result(c.graph->ops()[0].attributes.collective, ranks, r,
                                                                   x.shape[0], x, c.seed)});
                CHECK(difference(all.outputs, wanted, *c.graph, tolerance_of(type)) == "");
                REQUIRE(all.use[0].communication.size() == 1);
                CHECK(all.use[0].communication[0].calls == 1);
                CHECK(all.use[0].communication[0].operation == op);
            }
}

TEST_CASE("cpu: what it cannot do it declines with the reason") {
    const auto cpu = make_cpu();
    const auto reason = [&](const Case& c, int ranks) { return cpu->supports(c, ranks).reason; };
    const Overrides small{{"m", 8_i}, {"n", 8_i}, {"k", 8_i}};
    const auto typed = [&](const char* type) {
        Overrides o = small;
        o.emplace_back("dtype", std::string(type));
        return case_of(graph_of("gemm", o));
    };
    CHECK(reason(typed("f32"), 1) == "");
    CHECK(reason(typed("fp8_e4m3"), 1) == "the CPU backend has no fp8_e4m3");
    CHECK(reason(typed("f16"), 1) == "the CPU backend has no f16");
    CHECK(reason(
              case_of(graph_of(
                  "vector", {{"op", std::string("add")}, {"rows", 2_i}, {"cols", 2_i}, {"dtype", std::string("f64")}})),
              1) == "the CPU backend has no f64 but for matrix products");
    CHECK(reason(typed("f32"), 2) == "");  // one rank works, the other sleeps
    Case wide = typed("f32");
    wide.mapping.tensor = 2;
    CHECK(reason(wide, 1).find("mapping") != std::string::npos);
    Case wafer = typed("f32");
    auto other = std::make_shared<System>(*wafer.system);
    other->kind = SystemKind::wafer;
    other->title = "a wafer";
    wafer.system = other;
    CHECK(reason(wafer, 1) == "the CPU backend runs on this host, not on a wafer");
    const Case large = case_of(graph_of("gemm", {{"m", 4'000'000_i}, {"n", 4'000'000_i}, {"k", 8_i}}));
    CHECK(reason(large, 1).find("64000.26 GB") != std::string::npos);
}

TEST_CASE("cpu: ranks that may use the same processors share them") {
    const Case c = case_of(graph_of("gemm", {{"m", 8_i}, {"n", 8_i}, {"k", 8_i}}), 8, 0);
    const Shared all = run(c, 1);
    REQUIRE(all.failure == "");
    const auto expected = std::max(1L, static_cast<long>(std::thread::hardware_concurrency()) / 8);
    for (const ResourceUse& use : all.use) CHECK(use.detail.ends_with(fmt::format(", {} threads", expected)));
}

TEST_CASE("cpu: spans cover the run, phase by phase, and ops when asked") {
    const Case c = case_of(graph_of("train", model("tiny-gpt2")));
    const auto comm = single_process();
    cpu::CpuSession session(c, *comm, 1);
    const Sample plain = session.run();
    REQUIRE(plain.spans.size() == c.graph->blocks().size());
    double sum = 0;
    for (const Span& s : plain.spans) sum += s.duration.si();
    CHECK(sum == doctest::Approx(plain.elapsed.si()).scale(0));
    CHECK(plain.spans.front().phase == "forward");
    CHECK(plain.spans.back().phase == "update");
    session.time_ops(true);
    std::size_t executions = 0;
    for (const Block& b : c.graph->blocks()) executions += static_cast<std::size_t>(b.repeat * (b.last - b.first));
    CHECK(session.run().spans.size() == c.graph->blocks().size() + executions);
}
