#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/comm.hpp"
#include "core/tables.hpp"
#include "harness/verifier.hpp"
#include "models/fabric/choice.hpp"
#include "models/fabric/session.hpp"

using namespace wb;

namespace {

std::shared_ptr<const System> system_named(const std::string& id) {
    return std::make_shared<const System>(load_system(std::string(WB_SOURCE_DIR) + "/configs/systems/" + id + ".toml"));
}

std::unique_ptr<Backend> backend(const std::string& name) {
    for (const BackendRow& row : all_backends())
        if (row.name == name) return row.make();
    return nullptr;
}

Case case_of(Graph graph, int rows = 0, int columns = 0, std::string algorithm = "") {
    Case c;
    c.graph = c.small = std::make_shared<const Graph>(std::move(graph));
    c.system = system_named("wse2");
    c.backend = "fabric";
    c.mapping.rows = rows;
    c.mapping.columns = columns;
    c.mapping.algorithm = std::move(algorithm);
    return c;
}

Graph product(std::int64_t m, std::int64_t k, std::int64_t n, DType type, bool trans_a = false, bool trans_b = false) {
    Attributes a;
    a.trans_a = trans_a;
    a.trans_b = trans_b;
    Graph g("gemm");
    const TensorId x = g.input("a", trans_a ? Shape{k, m} : Shape{m, k}, type),
                   y = g.input("b", trans_b ? Shape{n, k} : Shape{k, n}, type);
    g.mark_output(g.add(OpKind::matmul, "c", {x, y}, a));
    return g;
}

Graph attention(std::int64_t queries, std::int64_t keys, DType type) {
    Attributes a;
    a.heads = 4;
    a.kv_heads = 2;
    a.seq = queries;
    a.seq_kv = keys;
    a.head_dim = a.v_head_dim = 8;
    a.causal = true;
    a.scale = 0.35;
    Graph g("attention");
    const TensorId q = g.input("q", {queries, 32}, type), k = g.input("k", {keys, 16}, type),
                   v = g.input("v", {keys, 16}, type);
    g.mark_output(g.apply(OpKind::attention, "o", {q, k, v}, a).front());
    return g;
}

Graph collective(CollectiveKind kind, std::int64_t n, DType type) {
    Attributes a;
    a.collective = kind;
    Graph g("collective");
    g.mark_output(g.add(OpKind::collective, "y", {g.input("x", {n}, type)}, a));
    return g;
}

Graph softmax(std::int64_t rows, std::int64_t columns, DType type) {
    Graph g("softmax");
    g.mark_output(g.add(OpKind::softmax, "y", {g.input("x", {rows, columns}, type)}));
    return g;
}

/// Verified against the judge; the session that measures ran without data, and credits the graph's FLOPs.
ResourceUse verified(const Case& c, double* elapsed_s = nullptr) {
    const auto mesh = backend("fabric"), judge = backend("reference");
    const Support support = mesh->supports(c, 1);
    CAPTURE(support.reason);
    REQUIRE(support.yes);
    const auto comm = single_process();
    const Verification v = verify_case(c, *mesh, *judge, *comm);
    CAPTURE(v.method);
    CHECK(v.done);
    CHECK(v.error <= v.tolerance);
    const auto session = mesh->prepare(c, *comm);
    const double s = session->run().elapsed.si();
    CHECK(s > 0);
    if (elapsed_s) *elapsed_s = s;
    const ResourceUse use = session->usage();
    CHECK(std::abs(use.useful.si() - c.graph->flops().si()) <= 1e-9 * c.graph->flops().si());
    return use;
}

std::string refusal(const Case& c) { return backend("fabric")->supports(c, 1).reason; }

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("fabric: products are verified on every mesh and by every algorithm, in both types, however stored") {
    for (const DType type : {DType::f32, DType::f16}) {
        for (const char* algorithm : {"summa", "cannon", "meshgemm", "allgather", "transposed"})
            for (const bool stored : {false, true})
                verified(case_of(product(21, 18, 25, type, stored, !stored), 4, 4, algorithm));
        verified(case_of(product(21, 18, 25, type), 3, 4, "summa"));
        verified(case_of(product(21, 18, 25, type, true, true), 1, 5, "allgather"));
        for (const char* algorithm : {"meshgemv", "pipeline"})
            for (const bool stored : {false, true}) {
                verified(case_of(product(23, 40, 1, type, stored, stored), 5, 4, algorithm));
                verified(case_of(product(1, 40, 23, type, stored, stored), 6, 2, algorithm));
            }
    }
}

TEST_CASE("fabric: attention, a softmax and collectives are verified, with more PEs than rows too") {
    for (const DType type : {DType::f32, DType::f16}) {
        verified(case_of(attention(20, 28, type), 4, 6));
        verified(case_of(attention(1, 28, type), 4, 4));
        verified(case_of(softmax(3, 37, type), 5, 4));
        for (const char* algorithm : {"star", "chain", "tree", "two-phase", "generated", "snake", "ring"})
            verified(case_of(collective(CollectiveKind::allreduce, 30, type), 3, 4, algorithm));
        verified(case_of(collective(CollectiveKind::broadcast, 30, type), 3, 4));
        verified(case_of(collective(CollectiveKind::allgather, 48, type), 3, 4));
        verified(case_of(collective(CollectiveKind::reduce_scatter, 48, type), 3, 4));
    }
}

TEST_CASE("fabric: on one PE a product takes the cycles of its multiply-adds and moves nothing") {
    Case c = case_of(product(16, 8, 4, DType::f32), 1, 1, "summa");
    double elapsed_s = 0;
    const ResourceUse use = verified(c, &elapsed_s);
    CHECK(use.communication.front().bytes.si() == 0);
    CHECK(elapsed_s * c.system->clock->value >= 16 * 8 * 4);  // at most one f32 FMA a cycle
    CHECK(use.overhead.si() == 0);
}

TEST_CASE("fabric: what does not divide is padded, and the padding is overhead") {
    const ResourceUse use = verified(case_of(product(5, 6, 7, DType::f32), 4, 4, "summa"));
    CHECK(use.overhead.si() == 2.0 * (8 * 8 * 8 - 5 * 6 * 7));  // tiles of 2 x 2, panels of 2
}

TEST_CASE("fabric: heat maps, spans, memory and wavelets describe the run") {
    Case c = case_of(collective(CollectiveKind::broadcast, 100, DType::f32), 2, 3);
    const auto comm = single_process();
    const auto session = backend("fabric")->prepare(c, *comm);
    const double cycles = session->run().elapsed.si() * c.system->clock->value;
    const ResourceUse use = session->usage();
    REQUIRE(use.grids.size() == 6);
    const auto grid = [&](const std::string& name) {
        return *std::find_if(use.grids.begin(), use.grids.end(), [&](const Grid& g) { return g.name == name; });
    };
    // Along row 0 eastwards, down every column, into all PEs but the first.
    const Grid east = grid("link_east"), south = grid("link_south"), ramp = grid("ramp");
    CHECK(east.rows == 2);
    CHECK(east.columns == 3);
    const double share = 100 / cycles;
    CHECK(east.at(0, 0) == doctest::Approx(share));
    CHECK(east.at(0, 2) == 0);
    CHECK(east.at(1, 0) == 0);
    CHECK(south.at(0, 2) == doctest::Approx(share));
    CHECK(ramp.at(0, 0) == 0);
    CHECK(ramp.at(1, 1) == doctest::Approx(share));
    CHECK(grid("link_north").largest == 0);
    CHECK(use.communication.front().calls == 100);
    CHECK(use.communication.front().bytes.si() == 4 * 100 * 5);  // a tree of 6 PEs has 5 links
    CHECK(use.memory.front().peak.si() == 400);
    CHECK(use.memory.front().capacity.si() == 48 * 1024);
}

TEST_CASE("fabric: data ride along only where they are looked at, and the time is the same") {
    const Case c = case_of(product(20, 20, 20, DType::f16), 4, 4, "meshgemm");
    const auto comm = single_process();
    const auto timed = backend("fabric")->prepare(c, *comm), looked_at = backend("fabric")->prepare(c, *comm);
    const Seconds without = timed->run().elapsed;
    looked_at->poison();
    CHECK(looked_at->run().elapsed == without);
    const Outputs later = timed->outputs().value(), at_once = looked_at->outputs().value();
    CHECK(later.front().values == at_once.front().values);
    looked_at->poison();
    looked_at->run();
    const Outputs again = looked_at->outputs().value();
    CHECK(again.front().values == at_once.front().values);
}

TEST_CASE("fabric: threads change nothing") {
    Case c = case_of(product(40, 36, 44, DType::f32), 8, 8, "summa");
    const auto comm = single_process();
    const auto one = backend("fabric")->prepare(c, *comm);
    c.threads = 2;
    const auto two = backend("fabric")->prepare(c, *comm);
    const Sample a = one->run(), b = two->run();
    CHECK(a.elapsed == b.elapsed);
    REQUIRE(!a.spans.empty());
    CHECK(a.spans.back().duration.si() > 0);
    CHECK(a.spans.size() == b.spans.size());
    CHECK(one->outputs().value().front().values == two->outputs().value().front().values);
    const ResourceUse x = one->usage(), y = two->usage();
    for (std::size_t i = 0; i < x.grids.size(); ++i) CHECK(x.grids[i].values == y.grids[i].values);
}

TEST_CASE("fabric: where no mesh is named it takes 32 x 32 PEs, more where SRAM needs it, fewer where time does") {
    const auto rows = [](const Case& c) { return fabric::choose(c).candidate->rows; };
    CHECK(rows(case_of(product(64, 64, 64, DType::f32))) == 32);
    CHECK(rows(case_of(product(700, 700, 700, DType::f16))) < 32);
    CHECK(rows(case_of(softmax(4096, 4096, DType::f32))) == 64);  // 67 MB: 32 x 32 PEs have 50 MB in all
}

TEST_CASE("fabric: the quickest algorithm by the laws is taken, of those whose tiles fit the SRAM") {
    const fabric::Choice free = fabric::choose(case_of(product(64, 64, 64, DType::f32), 8, 8));
    REQUIRE(free.candidate);
    for (const char* a : {"summa", "cannon", "meshgemm", "allgather", "transposed"})
        CHECK(free.candidate->cycles <=
              fabric::choose(case_of(product(64, 64, 64, DType::f32), 8, 8, a)).candidate->cycles);
    // All panels of A and B at once do not fit; one panel of each does.
    Case c = case_of(product(400, 400, 400, DType::f32), 8, 8);
    CHECK(fabric::choose(c).candidate->algorithm != "allgather");
    c.mapping.algorithm = "allgather";
    CHECK(has(refusal(c), "allgather on 8x8 PEs needs 1"));
    CHECK(has(refusal(c), "more than its SRAM holds: use more PEs"));
}

TEST_CASE("fabric: it says what it does not simulate, and why") {
    Case gpu = case_of(product(8, 8, 8, DType::f32));
    gpu.system = system_named("h100-sxm");
    CHECK(refusal(gpu) == "h100-sxm is no wafer: it has no mesh of PEs to simulate");
    Case two = case_of(product(8, 8, 8, DType::f32));
    two.units = 2;
    CHECK(refusal(two) == "simulates one wafer, not 2");
    CHECK(refusal(case_of(product(8, 8, 8, DType::bf16))) == "PEs compute in f32 or f16, one type for all operands");
    CHECK(refusal(case_of(product(8, 8, 8, DType::f32), 2, 2, "snake")) ==
          "matmul on 2x2 PEs has no algorithm \"snake\"; it has: summa, cannon, meshgemm, allgather, transposed");
    CHECK(has(refusal(case_of(product(8, 8, 8, DType::f32), 2, 3, "cannon")), "it has: summa, allgather"));
    CHECK(has(refusal(case_of(collective(CollectiveKind::allreduce, 8, DType::f32))), "name one, such as mesh = "));
    CHECK(has(refusal(case_of(collective(CollectiveKind::alltoall, 8, DType::f32), 2, 2)), "no program for alltoall"));
    CHECK(has(refusal(case_of(collective(CollectiveKind::allgather, 9, DType::f32), 2, 2)), "no equal parts"));
    CHECK(has(refusal(case_of(collective(CollectiveKind::allgather, 12, DType::f16), 2, 2)), "whole wavelets"));
    Graph twice("two");
    const TensorId x = twice.input("x", {4, 4}, DType::f32), y = twice.add(OpKind::softmax, "y", {x});
    twice.mark_output(twice.add(OpKind::softmax, "z", {y}));
    CHECK(refusal(case_of(std::move(twice))) ==
          "simulates single operators, and this graph has 2: use the model of the wafer");
    Case large = case_of(product(40000, 40000, 40000, DType::f16), 700, 700);
    CHECK(has(refusal(large), "simulating "));
    CHECK(has(refusal(large), "more than the 60.0 s allowed: use a smaller size or mesh, or raise protocol.timeout"));
}
