#include <thread>

#include "core/fill.hpp"
#include "kernels/cuda/emulated/products.hpp"
#include "kernels/cuda/simt.hpp"
#include "tests/kernels/cuda/judged.hpp"
#include "tests/kernels/thread_comm.hpp"

using namespace wb;
using namespace wb::judged;

namespace {

/// Puts the usual order back.
struct OrderScope {
    explicit OrderScope(cuda::emulated::Order order) { cuda::emulated::set_order(order); }
    ~OrderScope() { cuda::emulated::set_order(cuda::emulated::Order::forward); }
};

Overrides attention(std::int64_t d, std::int64_t seq, std::int64_t seq_kv, const char* pass) {
    return {{"heads", 2_i},   {"kv_heads", 1_i},          {"seq_q", seq}, {"seq_kv", seq_kv}, {"head_dim", d},
            {"causal", true}, {"pass", std::string(pass)}};
}

}  // namespace

TEST_CASE("cuda: a missing barrier would show: results do not depend on the order in which threads are played") {
    for (const auto order : {cuda::emulated::Order::backward, cuda::emulated::Order::drawn}) {
        const OrderScope scope(order);
        check("attention", attention(64, 70, 70, "forward_backward"), "bf16", 1);
        check("attention", attention(64, 1, 300, "forward"), "bf16", 1);
        for (const char* op : {"softmax", "layernorm"})
            check("vector", {{"op", std::string(op)}, {"rows", 3_i}, {"cols", 600_i}}, "f32", 1);
        check("train", model("tiny-moe", 5), "f32", 1);
    }
}

TEST_CASE("cuda: what follows a product is computed with it where the library can, and its trial says it is faster") {
    const auto detail_of = [](const cuda::emulated::Offers& offers) {
        cuda::emulated::set_offers(offers);
        Graph g("followed");
        const auto matrix = [&](const char* name) { return g.input(name, {8, 16}, DType::f32); };
        const auto product = [&](const char* name) {
            return g.add(OpKind::matmul, name,
                         {matrix("a"), g.weight(name, {16, 16}, DType::f32, {Fill::Kind::uniform, 1})});
        };
        g.mark_output(g.add(OpKind::gelu, "y", {product("p")}));
        const TensorId d = g.add(OpKind::gelu_backward, "d", {product("q"), matrix("x")});
        g.mark_output(g.add(OpKind::sum_rows, "s", {d}));
        g.mark_output(d);
        const Case c = case_of(std::move(g));
        const auto comm = single_process();
        cuda::CudaSession session(c, *comm, 0);
        cuda::emulated::set_offers({});
        session.poison();
        session.run();
        CHECK(difference(*session.outputs(), reference::execute(*c.graph, c.seed, 1), *c.graph, 2e-5, 0) == "");
        return session.usage().detail;
    };
    const auto fuses = [&](const cuda::emulated::Offers& offers, const char* what) {
        const std::string detail = detail_of(offers);
        const std::size_t at = detail.find("in the products: ");
        return at != std::string::npos && detail.find(what, at) != std::string::npos;
    };
    CHECK(fuses({}, "gelu"));
    CHECK(!fuses({.epilogues = false}, "gelu"));
    CHECK(!fuses({.plain_seconds = 1e-12, .fused_seconds = 1e3}, "gelu"));
    CHECK(fuses({.plain_seconds = 1e3, .fused_seconds = 1e-12}, "gelu"));
    // The faster of two fusions: the bias's gradient is worth a kernel of its own, the rest is not.
    const cuda::emulated::Offers sums_late{.plain_seconds = 1, .fused_seconds = 1, .summing_seconds = 1e3};
    CHECK(fuses(sums_late, "gelu_backward"));
    CHECK(!fuses(sums_late, "sum_rows"));
}

TEST_SUITE_BEGIN("nightly");

TEST_CASE("cuda: every kernel of training and every tile of attention, in three orders of threads") {
    for (const auto order :
         {cuda::emulated::Order::forward, cuda::emulated::Order::backward, cuda::emulated::Order::drawn}) {
        const OrderScope scope(order);
        for (const char* name : {"tiny-gpt2", "tiny-llama", "tiny-moe", "tiny-mla"}) check("train", model(name), "f32");
        check("attention", attention(64, 129, 129, "forward_backward"), "bf16", 1);
        check("attention", attention(128, 66, 97, "forward_backward"), "bf16", 1);
        check("attention", attention(256, 35, 50, "forward_backward"), "bf16", 1);
        check("attention", attention(128, 3, 260, "forward"), "bf16", 1);
    }
}

TEST_CASE("cuda: every model's architecture, shrunk, as the reference does") {
    for (const std::string& name : files().names("models", ""))
        for (const char* pass : {"train", "prefill", "decode"}) check(pass, model(name, 7), "f32", 1);
}

TEST_SUITE_END();

namespace {

/// As a CUDA-aware MPI: it moves whatever lies in a device's memory, and adds f32, f64 and int32 alone.
class DeviceComm final : public ThreadComm {
public:
    using ThreadComm::ThreadComm;
    bool takes_device_memory() const override { return true; }
    void allreduce(const void* in, void* out, std::int64_t n, DType type) override {
        REQUIRE(bits(type) >= 32);
        ThreadComm::allreduce(in, out, n, type);
    }
    void reduce_scatter(const void* in, void* out, std::int64_t n, DType type) override {
        REQUIRE(bits(type) >= 32);
        ThreadComm::reduce_scatter(in, out, n, type);
    }
};

/// One run of `c` on ranks that are threads: outputs as rank 0 gathers them, and the FLOPs of all.
struct Together {
    Outputs outputs;
    double useful = 0;
    std::string failure;

    explicit Together(const Case& c) {
        const int ranks = c.mapping.units();
        Team team(ranks);
        std::vector<std::thread> threads;
        for (int r = 0; r < ranks; ++r) threads.emplace_back([&, r] { play(c, team, r); });
        for (std::thread& t : threads) t.join();
    }

private:
    void play(const Case& c, Team& team, int rank) {
        try {
            DeviceComm comm(team, rank);
            cuda::CudaSession session(c, comm, 0);
            session.poison();
            session.run();
            if (auto out = session.outputs()) outputs = std::move(*out);
            const double mine[] = {session.usage().useful.si()};
            const auto all = comm.gather(mine);
            for (const auto& one : all) useful += one[0];
        } catch (const std::exception& e) {
            failure = e.what();
            team.barrier_.arrive_and_drop();
        }
    }
};

void check_together(const Case& c, double tolerance = 2e-4) {
    const Together found(c);
    REQUIRE(found.failure == "");
    CHECK(difference(found.outputs, reference::execute(*c.graph, c.seed, 1), *c.graph, tolerance, 2 * rate) == "");
    CHECK(found.useful == doctest::Approx(c.graph->flops().si()).epsilon(1e-12).scale(0));
}

}  // namespace

TEST_CASE("cuda: models shared among ranks give the same results and lose no work") {
    for (const char* name : {"tiny-llama", "tiny-moe"})
        for (const char* pass : {"train", "decode"}) {
            Overrides with = model(name, 5);
            with.emplace_back("dtype", std::string("f32"));
            CAPTURE(name);
            CAPTURE(pass);
            check_together(case_of(build_workload(pass, with, files()), 2));
        }
}

TEST_CASE("cuda: two models of two ranks each, the batch shared between them, train as one rank does") {
    Overrides with = model("tiny-llama", 5);
    with.emplace_back("dtype", std::string("f32"));
    Case c = case_of(build_workload("train", with, files()), 2);
    c.mapping.data = 2;
    check_together(c);
}

TEST_CASE("cuda: ranks speak by an MPI that takes device memory, and only by one that does") {
    Overrides with = model("tiny-llama", 5);
    with.emplace_back("dtype", std::string("f32"));
    Case c = case_of(build_workload("decode", with, files()), 2);
    c.mapping.algorithm = std::string(cuda::by_mpi);
    check_together(c);
    with.back().second = std::string("bf16");
    c.graph = std::make_shared<const Graph>(build_workload("train", with, files()));
    check_together(c, tolerance_of("bf16"));
    c.mapping = {};
    c.mapping.algorithm = std::string(cuda::by_mpi);
    const auto alone = single_process();
    CHECK_THROWS_WITH(cuda::CudaSession(c, *alone, 0), doctest::Contains("takes no device memory"));
}

TEST_CASE("cuda: sums of 16 bits over ranks are made of moved blocks: in f32, rounded once, the same on every rank") {
    constexpr int ranks = 3;
    for (const DType type : {DType::bf16, DType::f16})
        for (const auto& [kind, n] : {std::pair{CollectiveKind::allreduce, 37_i},
                                      {CollectiveKind::allreduce, 48_i},
                                      {CollectiveKind::reduce_scatter, 33_i}}) {
            CAPTURE(n);
            Team team(ranks);
            std::vector<std::vector<std::byte>> in, out;
            for (int r = 0; r < ranks; ++r) {
                in.emplace_back(static_cast<std::size_t>(2 * n));
                out.emplace_back(static_cast<std::size_t>(2 * n), std::byte{0xff});
                const auto key = static_cast<std::uint64_t>(r + 1);
                cuda::fill(nullptr, type, in.back().data(), n, {Fill::Kind::uniform, 1.0, key, 0, n, n});
            }
            std::vector<std::thread> threads;
            for (int r = 0; r < ranks; ++r)
                threads.emplace_back([&, r, kind = kind, n = n] {
                    DeviceComm comm(team, r);
                    const auto mine = static_cast<std::size_t>(r);
                    cuda::make_direct(comm)->run(kind, in[mine].data(), out[mine].data(), n, type, nullptr);
                });
            for (std::thread& t : threads) t.join();
            const std::int64_t each = kind == CollectiveKind::allreduce ? n : n / ranks;
            for (int r = 0; r < ranks; ++r)
                for (std::int64_t i = 0; i < each; ++i) {
                    const std::int64_t at = kind == CollectiveKind::allreduce ? i : r * each + i;
                    double sum = 0;
                    for (const auto& from : in) sum += decode(type, from.data() + 2 * at);
                    CHECK(decode(type, out[static_cast<std::size_t>(r)].data() + 2 * i) == rounded(sum, type));
                }
        }
}

TEST_CASE("cuda: a cache that is overwritten before every run changes no result, and is told") {
    Overrides with = model("tiny-gpt2", 3);
    with.emplace_back("dtype", std::string("f32"));
    Case c = case_of(build_workload("prefill", with, files()));
    c.mapping.algorithm = std::string(cuda::cold);
    const auto comm = single_process();
    cuda::CudaSession session(c, *comm, 0);
    session.run();
    session.poison();
    session.run();
    CHECK(difference(*session.outputs(), reference::execute(*c.graph, c.seed, 1), *c.graph, 2e-4, 0) == "");
    CHECK(session.usage().detail.find("L2 overwritten before every run") != std::string::npos);
}
