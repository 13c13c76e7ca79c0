// Products over ranks, run under mpirun. Only CHECK is used: a rank that left a case early would leave the others
// waiting.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/counted_comm.hpp"
#include "core/element.hpp"
#include "core/tables.hpp"
#include "harness/mpi_comm.hpp"
#include "kernels/bench/slow_link.hpp"
#include "kernels/cpu/distributed_gemm.hpp"
#include "kernels/cpu/distributed_session.hpp"
#include "kernels/cpu/session.hpp"

namespace {

using namespace wb;
using namespace wb::cpu;

Comm* comm = nullptr;

/// Small integers: every sum of products is exact in f32.
double value(int matrix, std::int64_t row, std::int64_t column) {
    return static_cast<double>((row * 7 + column * (3 + matrix)) % 9) - 4;
}

Buffer filled(const Patch& p, int matrix, DType type) {
    Buffer out(p.elements() * stored_bytes(type));
    for (std::int64_t i = 0; i < p.elements(); ++i)
        encode(value(matrix, p.rows.first + i / p.columns.count, p.columns.first + i % p.columns.count), type,
               out.data() + i * stored_bytes(type));
    return out;
}

/// Runs it twice, C poisoned before; the elements of this rank's patch that are wrong.
std::int64_t wrong_elements(DistributedGemm& gemm, const DistributedShape& s) {
    Buffer a, b, c;
    if (gemm.holds()) {
        a = filled(gemm.a(), 0, s.type);
        b = filled(gemm.b(), 1, s.type);
        c = Buffer(gemm.c().elements() * stored_bytes(s.type));
    }
    std::int64_t wrong = 0;
    for (int run = 0; run < 2; ++run) {
        if (gemm.holds()) c.fill(0xFF, 1);
        gemm.run(a.data(), b.data(), c.data());
        const Patch p = gemm.c();
        for (std::int64_t i = 0; gemm.holds() && i < p.elements(); ++i) {
            double sum = 0;
            for (std::int64_t k = 0; k < s.k; ++k)
                sum += value(0, p.rows.first + i / p.columns.count, k) *
                       value(1, k, p.columns.first + i % p.columns.count);
            wrong += decode(s.type, c.data() + i * stored_bytes(s.type)) != sum;
        }
    }
    return wrong;
}

const std::vector<DistributedShape> shapes{
    {8, 8, 8, DType::f64}, {37, 29, 31, DType::f64}, {301, 7, 53, DType::f32}, {9, 130, 17, DType::f32}};

Case product(std::int64_t m, std::int64_t n, std::int64_t k, const std::string& mapping) {
    Case c;
    c.graph = std::make_shared<const Graph>(
        build_workload("gemm", {{"m", m}, {"n", n}, {"k", k}, {"dtype", "f64"}}, Files({})));
    c.mapping = Mapping::parse(mapping);
    c.mapping.tensor = comm->size();
    return c;
}

}  // namespace

TEST_CASE("every spread on every grid computes the product, whatever the extents, and credits its work once") {
    for (const DistributedShape& s : shapes)
        for (const Spread spread : {Spread::summa, Spread::cannon, Spread::layered})
            for (const RankGrid& grid : grids_of(spread, comm->size(), s.m, s.n, s.k))
                for (const std::int64_t width : {5, 1000}) {
                    if (spread == Spread::cannon && width > 5) continue;
                    const auto gemm = spread == Spread::cannon ? make_cannon(s, grid, *comm, 1)
                                                               : make_summa(s, grid, width, *comm, 1);
                    const std::int64_t wrong = wrong_elements(*gemm, s);
                    CHECK_MESSAGE(wrong == 0, name(spread), " ", grid.text(), " ", s.m, " ", s.n, " ", s.k);
                    double flops = 0;
                    const double mine = gemm->flops();
                    comm->allreduce(&mine, &flops, 1, DType::f64);
                    CHECK(flops == 2.0 * static_cast<double>(s.m * s.n * s.k));
                }
}

TEST_CASE("panels cover the k axis once and never span two owners") {
    for (const RankGrid grid : {RankGrid{1, 1, 1}, {2, 3, 1}, {5, 2, 2}})
        for (const std::int64_t k : {7, 64, 1001}) {
            std::int64_t at = 0;
            for (const Panel& p : panels_of(k, grid, 48)) {
                CHECK((p.first == at && p.width > 0 && p.width <= 48));
                const Range a = shard(k, p.a_column, grid.columns), b = shard(k, p.b_row, grid.rows);
                for (const Range& owner : {a, b})
                    CHECK((p.first >= owner.first && p.first + p.width <= owner.first + owner.count));
                at += p.width;
            }
            CHECK(at == k);
        }
}

TEST_CASE("the grid that moves least comes first") {
    CHECK(grids_of(Spread::summa, 4, 100, 100, 100).front() == RankGrid{2, 2, 1});
    CHECK(grids_of(Spread::summa, 4, 1000, 10, 100).front() == RankGrid{4, 1, 1});  // B is small: all get it
    CHECK(grids_of(Spread::cannon, 6, 100, 100, 100).empty());
    for (const RankGrid& g : grids_of(Spread::layered, 8, 100, 100, 100)) CHECK((g.layers > 1 && g.ranks() == 8));
    CHECK(grids_of(Spread::summa, 4, 3, 1, 100).empty());  // more ranks than elements of C
}

TEST_CASE("SUMMA hands each rank's row and column their panels, no more") {
    CommLedger ledger;
    const auto ranks = counted(*comm, ledger);
    const DistributedShape s{64, 48, 80, DType::f64};
    const auto grids = grids_of(Spread::summa, comm->size(), s.m, s.n, s.k);
    const RankGrid grid = grids.front();
    const auto gemm = make_summa(s, grid, 16, *ranks, 1);
    const Buffer a = filled(gemm->a(), 0, s.type), b = filled(gemm->b(), 1, s.type);
    const Buffer c(gemm->c().elements() * 8);
    ledger.clear();
    gemm->run(a.data(), b.data(), c.data());
    const double through = 8.0 * static_cast<double>((grid.columns > 1 ? gemm->a().rows.count * s.k : 0) +
                                                     (grid.rows > 1 ? s.k * gemm->b().columns.count : 0));
    double bytes = 0;
    for (const CommUse& u : ledger.uses()) {
        CHECK(u.operation == "broadcast");
        CHECK(u.exposed.si() <= u.time.si());
        bytes += u.bytes.si();
    }
    CHECK(bytes == through);
}

TEST_CASE("a session is refused what it cannot spread, and says why") {
    CHECK(distributed_refusal(*product(64, 64, 64, "1").graph, product(64, 64, 64, "1").mapping).empty());
    CHECK(distributed_refusal(*product(64, 64, 64, "summa").graph, product(64, 64, 64, "summa").mapping).empty());
    Case vectors = product(64, 64, 64, "summa");
    vectors.graph = std::make_shared<const Graph>(
        build_workload("collective", {{"op", "allreduce"}, {"bytes", "64 B"}, {"dtype", "f32"}}, Files({})));
    CHECK(distributed_refusal(*vectors.graph, vectors.mapping).find("bare matrix product") != std::string::npos);
    Case cannon = product(64, 64, 64, "cannon");
    cannon.mapping.tensor = 6;
    CHECK(distributed_refusal(*cannon.graph, cannon.mapping).find("form no grid") != std::string::npos);
    Case odd = product(64, 64, 64, "1");
    odd.mapping.algorithm = "gpipe";
    CHECK(distributed_refusal(*odd.graph, odd.mapping).find("summa, cannon, 2.5d or distributed") != std::string::npos);
}

TEST_CASE("a session's outputs are those of one rank, its poison is seen, its communication is booked") {
    for (const char* algorithm : {"summa", "2.5d", "distributed"}) {
        if (comm->size() == 1 && algorithm == std::string("2.5d")) continue;
        const Case c = product(75, 41, 66, algorithm);
        DistributedSession session(c, *comm, 1);
        session.poison();
        const auto poisoned = session.outputs();
        session.run();
        const auto got = session.outputs();
        CHECK(got.has_value() == (comm->rank() == 0));
        const ResourceUse use = session.usage();
        CHECK((comm->size() == 1 || !use.communication.empty()));
        if (!got) continue;
        Case alone = c;
        alone.mapping = Mapping::parse("summa");
        const auto one = single_process();
        DistributedSession judge(alone, *one, 1);
        judge.run();
        const auto wanted = judge.outputs();
        double worst = 0;
        for (std::size_t i = 0; i < wanted->at(0).values.size(); ++i) {
            worst = std::max(worst, std::abs(wanted->at(0).values[i] - got->at(0).values[i]));
            CHECK(std::isnan(poisoned->at(0).values[i]));
        }
        CHECK(worst < 1e-12);
    }
}

namespace {

Case model_case(const char* workload, const char* model, const char* dtype, const std::string& word) {
    Case c;
    c.graph = std::make_shared<const Graph>(build_workload(workload,
                                                           {{"model", std::string(model)},
                                                            {"batch", std::int64_t{2}},
                                                            {"seq", std::int64_t{48}},
                                                            {"dtype", std::string(dtype)}},
                                                           Files({std::string(WB_SOURCE_DIR) + "/configs"})));
    c.mapping.tensor = comm->size();
    c.mapping.algorithm = word;
    c.seed = 5;
    return c;
}

struct Ran {
    Outputs outputs;  ///< on rank 0
    ResourceUse use;
};

/// Two runs on poisoned memory.
Ran ran(const Case& c) {
    CpuSession session(c, *comm, 1);
    for (int i = 0; i < 2; ++i) {
        session.poison();
        session.run();
    }
    // Among more ranks sums are added in another order, and AdamW turns the sign of a gradient near zero into a step.
    const auto outputs = comm->size() == 2 ? session.outputs() : session.declared_outputs();
    return {outputs.value_or(Outputs{}), session.usage()};
}

Bytes bytes_of(const ResourceUse& use, std::string_view operation) {
    Bytes sum;
    for (const CommUse& u : use.communication)
        if (u.operation == operation) sum += u.bytes;
    return sum;
}

/// The largest difference beside the largest value, over all outputs; 0 only if all bits agree.
double difference(const Outputs& a, const Outputs& b) {
    double worst = a.size() == b.size() ? 0 : HUGE_VAL;
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
        double scale = 0, most = 0;
        for (std::size_t k = 0; k < a[i].values.size(); ++k) {
            scale = std::max(scale, std::abs(b[i].values[k]));
            const double d = std::abs(a[i].values[k] - b[i].values[k]);
            most = std::isnan(d) ? HUGE_VAL : std::max(most, d);
        }
        worst = std::max(worst, most > 0 ? most / scale : 0);
    }
    return worst;
}

}  // namespace

TEST_CASE("sums beside the computation give what sums that are waited for give, bit for bit among two ranks") {
    if (comm->size() == 3 || comm->size() > 4) return;  // they divide no model's heads
    for (const auto& [workload, model] : {std::pair{"train", "tiny-gpt2"},
                                          {"prefill", "tiny-gpt2"},
                                          {"train", "tiny-llama"},
                                          {"prefill", "tiny-llama"}})
        for (const char* dtype : {"f32", "bf16"}) {
            if (comm->size() == 4 && model == std::string("tiny-llama")) continue;  // two key-value heads
            const Ran waited = ran(model_case(workload, model, dtype, "blocking"));
            const Ran beside = ran(model_case(workload, model, dtype, "overlapped"));
            const double d = difference(beside.outputs, waited.outputs);
            const double allowed = comm->size() == 2 ? 0 : dtype == std::string("f32") ? 1e-4 : 0.1;
            CHECK_MESSAGE(d <= allowed, workload, " ", model, " ", dtype, ": ", d);
            CHECK((comm->rank() != 0 || !waited.outputs.empty()));
            CHECK(bytes_of(beside.use, "allreduce") == bytes_of(waited.use, "allreduce"));
            CHECK((comm->size() == 1 || beside.use.detail.find("sums beside computation") != std::string::npos));
            for (const CommUse& u : beside.use.communication) CHECK(u.exposed.si() <= u.time.si());
            for (const CommUse& u : waited.use.communication) CHECK(u.exposed.si() == u.time.si());
        }
}

TEST_CASE("what a network card moves is hidden behind the computation") {
    if (comm->size() != 2) return;
    const auto waited_s = [](const char* word) {
        Case c;
        c.graph = std::make_shared<const Graph>(
            build_workload("train",
                           {{"model", std::string("{hidden=256,layers=2,heads=4,ffn=1024,vocab=64}")},
                            {"batch", std::int64_t{2}},
                            {"seq", std::int64_t{256}},
                            {"dtype", std::string("f32")}},
                           Files({})));
        c.mapping.tensor = 2;
        c.mapping.algorithm = word;
        SlowLink link(*comm, 0.5e9);
        CpuSession session(c, link, 1);
        session.run();
        const double before = link.waited_s();
        for (int i = 0; i < 3; ++i) session.run();
        return link.waited_s() - before;
    };
    const double waited = waited_s("blocking"), beside = waited_s("overlapped");
    const double sum_s = 4.0 * 512 * 256 / 0.5e9;
    CHECK(waited > 0.95 * 3 * 9 * sum_s);  // four sums in each layer, and one at least outside
    CHECK_MESSAGE(beside < 0.9 * waited, beside, " s of ", waited);
}

int main(int argc, char** argv) {
    const auto ranks = world(argc, argv);
    comm = ranks.get();
    doctest::Context context;
    context.setOption("no-intro", true);
    const int failed = context.run();
    return ranks->all(failed == 0) ? 0 : 1;
}
