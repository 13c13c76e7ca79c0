#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <set>

#include "core/backend.hpp"
#include "kernels/reference/reference.hpp"

namespace wb {
std::unique_ptr<Backend> make_fake();
}

using namespace wb;

namespace {

Graph gemm(DType type, bool trans_a, bool trans_b) {
    Graph g("gemm");
    Attributes a;
    a.trans_a = trans_a;
    a.trans_b = trans_b;
    const TensorId left = g.input("a", trans_a ? Shape{5, 7} : Shape{7, 5}, type);
    const TensorId right = g.input("b", trans_b ? Shape{3, 5} : Shape{5, 3}, type);
    g.mark_output(g.add(OpKind::matmul, "c", {left, right}, a));
    return g;
}

Graph addition(DType type) {
    Graph g("vector_add");
    const Fill two{Fill::Kind::uniform, 2.0};
    g.mark_output(g.add(OpKind::add, "y", {g.input("x", {9, 4}, type, two), g.input("u", {9, 4}, type, two)}));
    return g;
}

Graph softmax() {
    Graph g("vector_softmax");
    g.mark_output(g.add(OpKind::softmax, "y", {g.input("x", {9, 4}, DType::f32)}));
    return g;
}

Case one(Graph g, std::uint64_t seed = 1, const std::string& key = "key") {
    Case c;
    c.key = key;
    c.graph = std::make_shared<Graph>(std::move(g));
    c.seed = seed;
    return c;
}

std::unique_ptr<Session> prepared(const Case& c) { return make_fake()->prepare(c, *single_process()); }

/// One seat among several ranks; the fake asks for nothing but which.
class Seat final : public Comm {
public:
    Seat(int rank, int size) : rank_(rank), size_(size) {}
    int rank() const override { return rank_; }
    int size() const override { return size_; }
    std::string library() const override { return "one seat"; }
    void barrier() override { unused(); }
    void allreduce(const void*, void*, std::int64_t, DType) override { unused(); }
    void allgather(const void*, void*, std::int64_t, DType) override { unused(); }
    void reduce_scatter(const void*, void*, std::int64_t, DType) override { unused(); }
    void alltoall(const void*, void*, std::int64_t, DType) override { unused(); }
    void broadcast(void*, std::int64_t, DType, int) override { unused(); }
    void shift(const void*, void*, std::int64_t, DType) override { unused(); }
    double max(double) override { unused(); }
    std::vector<std::vector<double>> gather(std::span<const double>) override { unused(); }
    std::vector<std::string> gather(const std::string&) override { unused(); }
    std::vector<std::string> deliver(const std::vector<std::string>&) override { unused(); }
    std::string share(const std::string&) override { unused(); }
    std::unique_ptr<Comm> split(int) override { unused(); }
    [[noreturn]] void end_job(int) override { unused(); }

private:
    [[noreturn]] static void unused() { throw std::logic_error("the fake communicates"); }
    int rank_, size_;
};

std::vector<double> samples(const Case& c, int n = 20) {
    const auto session = prepared(c);
    std::vector<double> out;
    for (int i = 0; i < n; ++i) out.push_back(session->run().elapsed.si());
    return out;
}

std::vector<double> values(const Case& c) {
    const auto session = prepared(c);
    session->run();
    return session->outputs().value().at(0).values;
}

}  // namespace

TEST_CASE("fake: times follow from the case alone and stay within one per cent of a TFLOP a second") {
    const Case c = one(gemm(DType::f32, false, false));
    const std::vector<double> first = samples(c);
    CHECK(first == samples(c));
    CHECK(std::set<double>(first.begin(), first.end()).size() == first.size());
    for (double t : first) CHECK(std::abs(t / (2.0 * 7 * 5 * 3 / 1e12) - 1) <= 0.01);
    CHECK(first != samples(one(gemm(DType::f32, false, false), 2)));
    CHECK(first != samples(one(gemm(DType::f32, false, false), 1, "another")));
    CHECK(prepared(c)->usage().useful == c.graph->flops());
}

TEST_CASE("fake: additions and products agree with the reference") {
    for (DType type : {DType::f64, DType::f32, DType::bf16, DType::f16}) {
        std::vector<Graph> graphs{addition(type)};
        for (bool ta : {false, true})
            for (bool tb : {false, true}) graphs.push_back(gemm(type, ta, tb));
        for (const Graph& g : graphs) {
            const std::vector<double> mine = values(one(g)), judged = reference::execute(g, 1, 1).at(0).values;
            REQUIRE(mine.size() == judged.size());
            for (std::size_t i = 0; i < mine.size(); ++i)
                CHECK(std::abs(mine[i] - judged[i]) <= 4 * unit_roundoff(type) * 4);
        }
    }
    CHECK_FALSE(prepared(one(softmax()))->outputs().has_value());
}

TEST_CASE("fake: poison is seen unless a run follows") {
    const auto session = prepared(one(addition(DType::f32)));
    session->run();
    session->poison();
    const Outputs poisoned = session->outputs().value();
    for (double v : poisoned.at(0).values) CHECK(std::isnan(v));
    session->run();
    const Outputs fresh = session->outputs().value();
    for (double v : fresh.at(0).values) CHECK_FALSE(std::isnan(v));
}

TEST_CASE("fake: the seed asks for faults") {
    const auto with = [](std::uint64_t seed) { return one(addition(DType::f32), seed); };
    CHECK_THROWS_WITH(prepared(with(901)), "fake: fails in prepare, as the seed asks");
    CHECK_THROWS_WITH(prepared(with(12902))->run(), "fake: fails in run, as the seed asks");
    CHECK(std::isnan(samples(with(903), 1).at(0)));
    CHECK(samples(with(904), 1).at(0) < 0);
    const auto start = std::chrono::steady_clock::now();
    CHECK(samples(with(905), 1).at(0) > 0.05);
    CHECK(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(50));
    CHECK_THROWS_WITH(prepared(with(908))->run(), "fake: fails on the last rank, as the seed asks");
    for (std::uint64_t healthy : {900, 910, 1, 1000}) CHECK(samples(with(healthy), 1).at(0) > 0);
}

TEST_CASE("fake: damaged outputs differ from the reference in one value") {
    for (std::uint64_t seed : {906, 907})
        for (DType type : {DType::f32, DType::bf16}) {
            const Graph g = addition(type);
            const std::vector<double> mine = values(one(g, seed)), judged = reference::execute(g, seed, 1).at(0).values;
            int wrong = 0;
            for (std::size_t i = 0; i < mine.size(); ++i) wrong += std::abs(mine[i] - judged[i]) <= 0.1 ? 0 : 1;
            CHECK(wrong == 1);
            CHECK(std::isnan(mine.front()) == (seed == 906));
        }
}

TEST_CASE("fake: of several ranks only the last fails, and only the first credits the work") {
    Seat first(0, 3), last(2, 3);
    const auto fake = make_fake();
    const Case throws = one(addition(DType::f32), 908), dies = one(addition(DType::f32), 909),
               healthy = one(addition(DType::f32));
    CHECK(fake->prepare(throws, first)->run().elapsed > Seconds(0));
    CHECK_THROWS_WITH(fake->prepare(throws, last)->run(), "fake: fails on the last rank, as the seed asks");
    CHECK(fake->prepare(dies, first)->run().elapsed > Seconds(0));
    const pid_t child = fork();
    if (child == 0) {
        fake->prepare(dies, last)->run();
        _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGKILL);
    CHECK(fake->prepare(healthy, first)->usage().useful == healthy.graph->flops());
    CHECK(fake->prepare(healthy, last)->usage().useful == Flops(0));
    const auto session = fake->prepare(healthy, last);
    CHECK(session->run().elapsed.si() == samples(healthy, 1).at(0));
    CHECK(session->outputs().value().empty());
}
