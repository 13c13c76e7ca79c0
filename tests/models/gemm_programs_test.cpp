#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "models/fabric/programs/gemm.hpp"
#include "models/fabric/programs/gemv.hpp"
#include "models/fabric/programs/shift_ring.hpp"
#include "models/fabric/programs/transpose.hpp"

using namespace wb;
using namespace wb::fabric;

namespace {

Mesh machine() {
    Mesh m;
    m.rows = m.columns = 64;
    m.sram_bytes = 48 * 1024;
    m.clock_hz = 1e9;
    m.vector_start_cycles = 3;
    m.task_start_cycles = 5;
    m.microthread_start_cycles = 2;
    return m;
}

Options mesh_of(int rows, int columns, bool data = true) {
    Options o;
    o.rows = rows;
    o.columns = columns;
    o.data = data;
    return o;
}

std::vector<float> random_values(std::int64_t n, unsigned seed) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> uniform(-1, 1);
    std::vector<float> v(static_cast<std::size_t>(n));
    for (float& x : v) x = uniform(random);
    return v;
}

/// Of `n` products added up in `steps` parts, each rounded to the type: how far from exact, for operands below 1.
double tolerance(DType type, std::int64_t n, std::int64_t steps) {
    const double size = std::sqrt(static_cast<double>(n)), rounds = std::sqrt(static_cast<double>(steps));
    return type == DType::f32 ? 1e-6 * size * rounds : (4e-4 + 4e-4) * 4 * size;
}

/// Runs the plan on random matrices and compares with plain loops; returns the result for more checks.
Result check_product(const GemmPlan& p, unsigned seed = 1) {
    const std::vector<float> a = random_values(p.m * p.k, seed), b = random_values(p.k * p.n, seed + 1);
    GemmProgram gemm(p, a, b);
    Simulator simulator(machine(), mesh_of(p.rows, p.columns));
    Result result = simulator.run(gemm.program());
    const std::vector<float> c = gemm.result(simulator);
    const auto at = [](std::int64_t i) { return static_cast<std::size_t>(i); };
    double worst = 0;
    for (std::int64_t i = 0; i < p.m; ++i)
        for (std::int64_t j = 0; j < p.n; ++j) {
            double sum = 0;
            for (std::int64_t l = 0; l < p.k; ++l)
                sum += double{a[at(i * p.k + l)]} *
                       double{p.algorithm == GemmAlgorithm::transposed ? b[at(j * p.k + l)] : b[at(l * p.n + j)]};
            worst = std::max(worst, std::abs(sum - double{c[at(i * p.n + j)]}));
        }
    CHECK(worst <= tolerance(p.type, p.k, p.steps()));
    CHECK(result.fma == static_cast<double>(p.m * p.n * p.k));
    CHECK(result.sram_peak == p.sram_bytes());
    return result;
}

constexpr GemmAlgorithm algorithms[] = {GemmAlgorithm::summa, GemmAlgorithm::cannon, GemmAlgorithm::interleaved,
                                        GemmAlgorithm::allgather, GemmAlgorithm::transposed};

std::string says(const auto& act) {
    try {
        act();
    } catch (const Error& e) {
        return e.what();
    }
    return "";
}

}  // namespace

TEST_CASE("every algorithm multiplies, whatever divides") {
    for (const GemmAlgorithm algorithm : algorithms)
        for (const DType type : {DType::f32, DType::f16})
            for (const int side : {1, 2, 3, 4, 5, 8})
                for (const bool aligned : {false, true}) {
                    INFO(name(algorithm) << " " << name(type) << " side " << side << " aligned " << aligned);
                    check_product({algorithm, side * 4L, side * 4L, side * 4L, type, side, side, aligned});
                    check_product({algorithm, side * 5L - 1, side * 3L + 1, side * 4L + 3, type, side, side, aligned});
                    check_product({algorithm, 1, 2 * side - 1L, 3, type, side, side, aligned});
                }
}

TEST_CASE("panels work on meshes that are not square") {
    for (const GemmAlgorithm algorithm : {GemmAlgorithm::summa, GemmAlgorithm::allgather})
        for (const DType type : {DType::f32, DType::f16})
            for (const auto& [rows, columns] : {std::pair{1, 6}, std::pair{6, 1}, std::pair{4, 6}, std::pair{2, 8}}) {
                INFO(name(algorithm) << " " << rows << " x " << columns);
                check_product({algorithm, 19, 37, 23, type, rows, columns});
            }
}

TEST_CASE("without data the cycles are the same") {
    for (const GemmAlgorithm algorithm : algorithms) {
        const GemmPlan plan{algorithm, 30, 26, 41, DType::f16, 6, 6};
        const Result with = check_product(plan);
        GemmProgram timing(plan);
        Simulator simulator(machine(), mesh_of(6, 6, false));
        const Result without = simulator.run(timing.program());
        CHECK(with.cycles == without.cycles);
        CHECK(with.hops == without.hops);
        CHECK(with.fma == without.fma);
    }
}

TEST_CASE("padding is booked apart from useful work") {
    const GemmPlan plan{GemmAlgorithm::interleaved, 9, 7, 5, DType::f32, 4, 4};
    CHECK(plan.tile_m() == 3);
    CHECK(plan.panel() == 2);
    CHECK(plan.tile_n() == 2);
    CHECK(plan.padded_fma() == 12 * 8 * 8 - 9 * 7 * 5);
    CHECK(GemmPlan{GemmAlgorithm::cannon, 8, 8, 8, DType::f32, 4, 4}.padded_fma() == 0);
}

TEST_CASE("a tile that fits SRAM runs, one that does not is refused") {
    Mesh small = machine();
    const GemmPlan plan{GemmAlgorithm::summa, 16, 16, 16, DType::f32, 4, 4};
    small.sram_bytes = plan.sram_bytes();
    const auto run = [&](const GemmPlan& p) {
        GemmProgram gemm(p);
        Simulator(small, mesh_of(p.rows, p.columns, false)).run(gemm.program());
    };
    CHECK(says([&] { run(plan); }).empty());
    GemmPlan larger = plan;
    larger.n = 17;
    CHECK(says([&] { run(larger); }).find("SRAM overflow") != std::string::npos);
}

TEST_CASE("a mesh that is not square is refused where tiles of both operands shift") {
    const GemmPlan plan{GemmAlgorithm::cannon, 8, 8, 8, DType::f32, 4, 2};
    CHECK(says([&] { plan.check(); }) ==
          "gemm 8 x 8 x 8 by cannon: wants a square mesh, not 4 x 2 (tiles of both operands shift in step). Choose a "
          "square mesh, or summa.");
    CHECK(says([] { GemmPlan{GemmAlgorithm::summa, 8, 0, 8}.check(); }).find("size below 1") != std::string::npos);
}

TEST_CASE("the interleaved ring visits all PEs by steps of at most two") {
    for (int count = 1; count <= 33; ++count) {
        std::vector<bool> seen(static_cast<std::size_t>(count), false);
        for (int position = 0; position < count; ++position) {
            const int here = ShiftRing::index_at(RingOrder::interleaved, position, count);
            const int next = ShiftRing::index_at(RingOrder::interleaved, (position + 1) % count, count);
            CHECK(ShiftRing::position_of(RingOrder::interleaved, here, count) == position);
            CHECK(std::abs(next - here) <= 2);
            CHECK_FALSE(seen[static_cast<std::size_t>(here)]);
            seen[static_cast<std::size_t>(here)] = true;
        }
    }
}

TEST_CASE("a ring returns every tile to its owner after as many shifts as PEs, either way") {
    for (const RingOrder order : {RingOrder::natural, RingOrder::interleaved})
        for (const bool forward : {true, false})
            for (const int count : {1, 2, 3, 6, 7}) {
                const Program program = [&](Pe& pe) -> Process {
                    const ShiftRing ring(row_line(pe), order, forward, 0);
                    ring.route(pe);
                    Vec tile = pe.alloc(Type::f32, 3), spare = pe.alloc(Type::f32, 3);
                    pe.set(tile, 1, static_cast<float>(pe.column));
                    const int half = count / 2;
                    if (count > 1) co_await shift(pe, ring, tile, spare, half);
                    const int from = (ring.position() + (forward ? count - half : half)) % count;
                    CHECK(pe.get(tile, 1) == ShiftRing::index_at(order, from, count));
                    if (count > 1) co_await shift(pe, ring, tile, spare, count - half);
                    CHECK(pe.get(tile, 1) == pe.column);
                };
                Simulator(machine(), mesh_of(1, count)).run(program);
            }
}

TEST_CASE("a matrix dealt over the mesh is transposed") {
    for (const Type type : {Type::f32, Type::f16})
        for (const int side : {1, 2, 3, 8}) {
            constexpr int rows = 5, columns = 3;
            const auto value = [](int i, int j) { return static_cast<float>(i * 31 % 97 + j); };
            Vec result;
            const Program program = [&](Pe& pe) -> Process {
                route_transpose(pe, 4);
                const Vec tile = pe.alloc(type, rows * columns), out = pe.alloc(type, rows * columns),
                          scratch = pe.alloc(type, rows * columns);
                for (int i = 0; i < rows; ++i)
                    for (int j = 0; j < columns; ++j)
                        pe.set(tile, static_cast<std::size_t>(j * rows + i),
                               value(pe.row * rows + i, pe.column * columns + j));
                result = out;
                co_await transpose(pe, tile, out, scratch, rows, columns, 4);
            };
            Simulator simulator(machine(), mesh_of(side, side));
            simulator.run(program);
            for (int r = 0; r < side * columns; ++r)
                for (int c = 0; c < side * rows; ++c) {
                    const Pe& pe = simulator.pe(r / columns, c / rows);
                    CHECK(pe.get(result, static_cast<std::size_t>(c % rows * columns + r % columns)) == value(c, r));
                }
        }
}

TEST_CASE("GEMV on any rectangle, by either sum") {
    for (const auto sum : {GemvPlan::Sum::pipeline, GemvPlan::Sum::two_level})
        for (const DType type : {DType::f32, DType::f16})
            for (const int rows : {1, 2, 3, 4, 7, 16, 33})
                for (const bool everywhere : {false, true}) {
                    const GemvPlan plan{rows * 4 - 1, 23, type, rows, 3, sum, everywhere};
                    INFO(rows << " rows");
                    const std::vector<float> w = random_values(plan.k * plan.n, 5), x = random_values(plan.k, 6);
                    GemvProgram gemv(plan, w, x);
                    Simulator simulator(machine(), mesh_of(plan.rows, plan.columns));
                    const Result result = simulator.run(gemv.program());
                    const std::vector<float> y = gemv.result(simulator);
                    for (std::size_t j = 0; j < 23; ++j) {
                        double exact = 0;
                        for (std::size_t l = 0; l < x.size(); ++l) exact += double{x[l]} * double{w[l * 23 + j]};
                        CHECK(std::abs(y[j] - exact) <= tolerance(type, plan.k, rows));
                    }
                    CHECK(result.fma == static_cast<double>(plan.k * plan.n));
                    CHECK(result.sram_peak == plan.sram_bytes());
                }
}
