#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <thread>

#include "core/error.hpp"
#include "core/tables.hpp"
#include "kernels/cuda/session.hpp"
#include "kernels/cuda/simt.hpp"
#include "kernels/reference/collective.hpp"
#include "kernels/reference/reference.hpp"
#include "tests/kernels/thread_comm.hpp"

using namespace wb;

namespace {

using Overrides = std::vector<std::pair<std::string, ParamValue>>;

const Files& files() {
    static const Files all({std::string(WB_SOURCE_DIR) + "/configs"});
    return all;
}

std::int64_t operator""_i(unsigned long long n) { return static_cast<std::int64_t>(n); }

Case case_of(Graph graph, int ranks = 1) {
    Case c;
    c.graph = std::make_shared<const Graph>(std::move(graph));
    c.mapping.tensor = ranks;
    c.seed = 7;
    return c;
}

/// What differs: empty if nothing does. As tests/kernels/cpu_backend_test.cpp judges: `tolerance` of a tensor's largest
/// magnitude; weights may differ by `step` besides, since AdamW moves one by its rate however small the gradient.
std::string difference(const Outputs& found, const Outputs& wanted, const Graph& g, double tolerance, double step) {
    if (found.size() != wanted.size()) return fmt::format("{} outputs instead of {}", found.size(), wanted.size());
    std::string worst;
    double largest_excess = 1;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        const Output &a = found[i], &b = wanted[i];
        if (a.tensor != b.tensor || a.instance != b.instance || a.values.size() != b.values.size())
            return fmt::format("output {} is {} {} of {} values", i, a.name, a.instance, a.values.size());
        double magnitude = 0, error = 0;
        for (std::size_t k = 0; k < b.values.size(); ++k) {
            magnitude = std::max(magnitude, std::abs(b.values[k]));
            const double e = std::abs(a.values[k] - b.values[k]);
            error = std::isfinite(e) ? std::max(error, e) : INFINITY;
        }
        const bool moved = g.tensor(b.tensor).role == Role::weight || b.name.ends_with(".master");
        const double floor = 1e-3 * tolerance;
        const double allowed =
            b.name.ends_with(".v") ? 2 * tolerance * magnitude + floor * floor : tolerance * magnitude + floor;
        const double excess = error / (allowed + (moved ? step : 0));
        if (excess > largest_excess) {
            largest_excess = excess;
            worst = fmt::format("{}[{}]: error {:.3g}, magnitude {:.3g}, allowed {:.3g} of it", a.name, a.instance,
                                error, magnitude, tolerance);
        }
    }
    return worst;
}

constexpr double rate = 3e-4;  // of add_update

double tolerance_of(const std::string& dtype) {
    if (dtype == "f64") return 1e-12;
    if (dtype == "bf16" || dtype == "8-bit" || dtype.starts_with("fp8")) return 6e-2;
    return dtype == "f16" || dtype == "tf32" ? 1e-2 : 2e-4;
}

/// A graph on one rank, after one run and after up to `most`, against the judge.
void check(const std::string& workload, Overrides overrides, const std::string& dtype, int most = 2) {
    overrides.emplace_back("dtype", dtype);
    std::string label = workload;
    for (const auto& [key, value] : overrides) label += fmt::format(" {}={}", key, text(value));
    CAPTURE(label);
    const Case c = case_of(build_workload(workload, overrides, files()).resolved(DType::bf16, DType::fp8_e4m3));
    const auto comm = single_process();
    cuda::CudaSession session(c, *comm, 0);
    for (int runs = 1; runs <= most; ++runs) {
        session.poison();
        session.run();
        CHECK(difference(*session.outputs(), reference::execute(*c.graph, c.seed, runs), *c.graph, tolerance_of(dtype),
                         2 * rate * runs) == "");
    }
    const ResourceUse use = session.usage();
    CHECK(use.useful.si() == c.graph->flops().si());
    CHECK(use.overhead.si() == 0);
}

Overrides model(const std::string& name, std::int64_t seq = 13) {
    return {{"model", name}, {"batch", 2_i}, {"seq", seq}, {"shrunk", true}};
}

}  // namespace

TEST_CASE("cuda: bare products, every layout and type") {
    for (const char* type : {"f32", "bf16", "f16", "f64", "fp8_e4m3", "int8"})
        for (int layout = 0; layout < 4; ++layout)
            for (std::int64_t batch : {1, 3})
                check("gemm",
                      {{"m", 33_i},
                       {"n", layout == 2 ? 48_i : 47_i},
                       {"k", layout == 2 ? 32_i : 29_i},
                       {"batch", batch},
                       {"trans_a", layout % 2 == 1},
                       {"trans_b", layout / 2 == 1}},
                      type, 1);
    check("gemm", {{"m", 32_i}, {"n", 48_i}, {"k", 64_i}, {"trans_b", true}}, "fp8_e4m3", 1);
}

TEST_CASE("cuda: bare operators, wide and element by element") {
    for (const char* type : {"f32", "bf16", "f16"})
        for (const char* op : {"softmax", "layernorm", "rmsnorm", "gelu", "silu_mul", "rope", "add"})
            for (std::int64_t columns : {72_i, 75_i, 96_i}) {
                if (columns % 2 == 1 && std::string(op) == "rope") continue;
                check("vector", {{"op", std::string(op)}, {"rows", 5_i}, {"cols", columns}, {"heads", 3_i}}, type, 1);
            }
    for (const char* op : {"softmax", "layernorm"})  // too wide to be kept in shared memory
        check("vector", {{"op", std::string(op)}, {"rows", 2_i}, {"cols", 12000_i}}, "f32", 1);
}
TEST_CASE("cuda: attention, forward and backward") {
    for (const char* type : {"f32", "bf16"})
        for (const char* pass : {"forward", "forward_backward"}) {
            const std::string p = pass;
            check("attention",
                  {{"batch", 2_i},
                   {"heads", 4_i},
                   {"kv_heads", 2_i},
                   {"seq_q", 17_i},
                   {"seq_kv", 43_i},
                   {"head_dim", 12_i},
                   {"pass", p}},
                  type, 1);
            check("attention",
                  {{"heads", 3_i}, {"seq_q", 31_i}, {"head_dim", 16_i}, {"causal", true}, {"window", 6_i}, {"pass", p}},
                  type, 1);
        }
}

TEST_CASE("cuda: small models train, prefill and decode as the reference does") {
    for (const char* type : {"f32", "bf16"})
        for (const char* name : {"tiny-gpt2", "tiny-llama", "tiny-moe", "tiny-mla"})
            for (const char* pass : {"train", "prefill", "decode"}) {
                // A second step in bf16 may send a token to another expert where two are nearly equal.
                const bool has_experts = std::string(name) == "tiny-moe" || std::string(name) == "tiny-mla";
                check(pass, model(name), type, has_experts && std::string(type) == "bf16" ? 1 : 2);
            }
}

namespace {

/// Puts the usual order back.
struct OrderScope {
    explicit OrderScope(cuda::emulated::Order order) { cuda::emulated::set_order(order); }
    ~OrderScope() { cuda::emulated::set_order(cuda::emulated::Order::forward); }
};

void check_attention(std::int64_t d, std::int64_t seq, std::int64_t seq_kv, Overrides more, const std::string& pass) {
    Overrides all{{"heads", 2_i}, {"seq_q", seq}, {"seq_kv", seq_kv}, {"head_dim", d}, {"pass", pass}};
    all.insert(all.end(), more.begin(), more.end());
    check("attention", all, "bf16", 1);
}

}  // namespace

TEST_CASE("cuda: attention on matrix units, at the edges of tiles, whatever the order of threads") {
    for (const auto order :
         {cuda::emulated::Order::forward, cuda::emulated::Order::backward, cuda::emulated::Order::drawn}) {
        const OrderScope scope(order);
        check_attention(64, 70, 70, {{"causal", true}, {"kv_heads", 1_i}}, "forward_backward");
    }
    check_attention(64, 129, 129, {}, "forward_backward");
    check_attention(64, 64, 150, {{"causal", true}}, "forward_backward");
    check_attention(64, 140, 140, {{"causal", true}, {"window", 20_i}}, "forward_backward");
    check_attention(128, 66, 97, {{"causal", true}, {"kv_heads", 1_i}}, "forward_backward");
    check_attention(128, 40, 40, {{"window", 9_i}}, "forward_backward");
    check_attention(256, 35, 50, {{"causal", true}}, "forward_backward");
}

TEST_CASE("cuda: decoding by splits of the keys") {
    for (const auto order : {cuda::emulated::Order::forward, cuda::emulated::Order::drawn}) {
        const OrderScope scope(order);
        check_attention(64, 1, 300, {{"causal", true}, {"kv_heads", 1_i}, {"batch", 2_i}}, "forward");
    }
    check_attention(128, 1, 700, {{"causal", true}}, "forward");
    check_attention(128, 3, 260, {{"causal", true}, {"kv_heads", 1_i}}, "forward");
    check_attention(64, 1, 500, {{"causal", true}, {"window", 130_i}}, "forward");
    check_attention(64, 5, 131, {}, "forward");
}

TEST_CASE("cuda: every kernel of a training step gives the same whatever the order of threads") {
    for (const auto order : {cuda::emulated::Order::backward, cuda::emulated::Order::drawn}) {
        const OrderScope scope(order);
        for (const char* name : {"tiny-gpt2", "tiny-moe", "tiny-mla"}) check("train", model(name, 9), "f32", 1);
    }
}

TEST_CASE("cuda: models shared among ranks give the same results and lose no work") {
    for (const char* name : {"tiny-gpt2", "tiny-llama", "tiny-moe"})
        for (const char* pass : {"train", "decode"}) {
            constexpr int ranks = 2, runs = 2;
            Overrides with = model(name, 9);
            with.emplace_back("dtype", std::string("f32"));
            CAPTURE(name);
            CAPTURE(pass);
            const Case c = case_of(build_workload(pass, with, files()), ranks);
            Team team(ranks);
            Outputs outputs;
            double useful = 0;
            std::string failure;
            std::vector<std::thread> threads;
            for (int r = 0; r < ranks; ++r)
                threads.emplace_back([&, r] {
                    try {
                        ThreadComm comm(team, r);
                        cuda::CudaSession session(c, comm, 0);
                        for (int i = 0; i < runs; ++i) {
                            session.poison();
                            session.run();
                        }
                        if (auto out = session.outputs()) outputs = std::move(*out);
                        const double mine[] = {session.usage().useful.si()};
                        const auto all = comm.gather(mine);
                        if (r == 0)
                            for (const auto& one : all) useful += one[0];
                    } catch (const std::exception& e) {
                        failure = e.what();
                        team.barrier_.arrive_and_drop();
                    }
                });
            for (std::thread& t : threads) t.join();
            REQUIRE(failure == "");
            CHECK(difference(outputs, reference::execute(*c.graph, c.seed, runs), *c.graph, 2e-4, 2 * rate * runs) ==
                  "");
            CHECK(useful == doctest::Approx(c.graph->flops().si()).epsilon(1e-12).scale(0));
        }
}
