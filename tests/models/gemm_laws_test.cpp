#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "core/system.hpp"
#include "models/fabric/programs/gemm.hpp"
#include "models/fabric/programs/gemv.hpp"
#include "models/fabric/programs/transpose.hpp"
#include "models/tile_work.hpp"

using namespace wb;
using namespace wb::fabric;

namespace {

/// The ideal machine, and one that starts slowly and has few memory ports.
Mesh machine(bool ideal) {
    Mesh m;
    m.rows = 994;
    m.columns = 750;
    m.sram_bytes = 48 * 1024;
    m.clock_hz = 1e9;
    if (ideal) return m;
    m.vector_start_cycles = 22;
    m.task_start_cycles = 62;
    m.microthread_start_cycles = 9;
    m.f32_sram_fma_cycles = 2.1;
    m.f16_sram_fma_cycles = 0.5;
    return m;
}

Result simulate(const Mesh& mesh, int rows, int columns, const Program& program) {
    Options o;
    o.rows = rows;
    o.columns = columns;
    o.data = false;
    return Simulator(mesh, o).run(program);
}

double simulated(const Mesh& mesh, const GemmPlan& plan) {
    GemmProgram gemm(plan);
    return static_cast<double>(simulate(mesh, plan.rows, plan.columns, gemm.program()).cycles);
}

double simulated(const Mesh& mesh, const GemvPlan& plan) {
    GemvProgram gemv(plan);
    return static_cast<double>(simulate(mesh, plan.rows, plan.columns, gemv.program()).cycles);
}

/// Absolute relative errors by name; printed with the worst place of each.
class Errors {
public:
    void add(std::string_view name, double law, double truth, const std::string& what) {
        Row& row = rows_[std::string(name)];
        const double error = law / truth - 1;
        row.all.push_back(std::abs(error));
        if (std::abs(error) < row.worst) return;
        row.worst = std::abs(error);
        row.where = fmt::format("{}: {:.0f} for {:.0f}", what, law, truth);
    }
    void check_all_below(double worst) const {
        for (const auto& [name, row] : rows_) {
            INFO(name << " at " << row.where);
            CHECK(row.worst <= worst);
        }
    }
    void print(const std::string& title) const {
        std::string text = title + "\n";
        for (const auto& [name, row] : rows_) {
            text += fmt::format("{:<24} n {:>3}  median {:5.2f} %  worst {:5.2f} %  ({})\n", name, row.all.size(),
                                100 * median(row.all), 100 * row.worst, row.where);
        }
        MESSAGE(text);
    }
    double median_of(const std::string& name) const { return median(rows_.at(name).all); }
    double worst_of(const std::string& name) const { return rows_.at(name).worst; }

private:
    struct Row {
        std::vector<double> all;
        double worst = 0;
        std::string where;
    };
    static double median(std::vector<double> v) {
        std::sort(v.begin(), v.end());
        return (v[v.size() / 2] + v[(v.size() - 1) / 2]) / 2;
    }
    std::map<std::string, Row> rows_;
};

void compare_gemm(Errors& errors, const Mesh& mesh, const GemmPlan& plan) {
    errors.add(
        name(plan.algorithm), gemm_cycles(mesh, plan), simulated(mesh, plan),
        fmt::format("{} x {} PEs, {} x {} x {} {}", plan.rows, plan.columns, plan.m, plan.n, plan.k, name(plan.type)));
}

/// Both machines, square and lean tiles, aligned or not.
void compare_gemms(Errors& errors, int side, std::size_t shapes = 3) {
    const std::array<std::array<std::int64_t, 3>, 3> tiles{{{4, 4, 4}, {16, 8, 12}, {2, 12, 7}}};
    for (const bool ideal : {true, false})
        for (const DType type : {DType::f32, DType::f16})
            for (const GemmAlgorithm algorithm :
                 {GemmAlgorithm::summa, GemmAlgorithm::cannon, GemmAlgorithm::interleaved, GemmAlgorithm::allgather,
                  GemmAlgorithm::transposed})
                for (std::size_t shape = 0; shape < shapes; ++shape)
                    for (const bool aligned : {false, true}) {
                        const auto& [m, k, n] = tiles[shape];
                        const GemmPlan plan{algorithm, m * side, k * side, n * side - 1, type, side, side, aligned};
                        if (plan.sram_bytes() <= machine(ideal).sram_bytes) compare_gemm(errors, machine(ideal), plan);
                    }
}

struct MeasuredSumma {
    int side, tile;
    double cycles;
};
/// SUMMA in f32 on a real CS-2 (csl-examples gemm-collectives_2d; lingzhi227/MIMD_dataflow@4775537e, result.txt).
constexpr MeasuredSumma measured_summa[] = {
    {32, 8, 97929},       {32, 32, 3118388},    {64, 4, 58503},       {64, 8, 195176},     {64, 16, 955265},
    {128, 16, 1909435},   {128, 32, 12474371},  {256, 4, 233861},     {256, 16, 3817667},  {256, 32, 24951592},
    {256, 45, 67779703},  {512, 4, 467049},     {512, 8, 1553878},    {512, 32, 49906986}, {1, 46, 300702},
    {2, 46, 600061},      {4, 46, 1199071},     {64, 46, 19161848},   {128, 46, 38322253}, {256, 46, 76643807},
    {400, 46, 119756396}, {600, 46, 179637998}, {750, 46, 224552006},
};

GemmPlan summa_of(const MeasuredSumma& point) {
    const std::int64_t n = std::int64_t{point.side} * point.tile;
    return {GemmAlgorithm::summa, n, n, n, DType::f32, point.side, point.side};
}

Mesh wse2() { return mesh_of(load_system(WB_SOURCE_DIR "/configs/systems/wse2.toml")); }

}  // namespace

TEST_CASE("closed forms of GEMM follow the simulator within 5 %") {
    Errors errors;
    for (const int side : {4, 7, 16}) compare_gemms(errors, side);
    for (const bool ideal : {true, false})
        for (const GemmAlgorithm algorithm : {GemmAlgorithm::summa, GemmAlgorithm::allgather})
            for (const auto& [rows, columns] : {std::pair{4, 12}, std::pair{12, 4}, std::pair{1, 9}, std::pair{6, 9}})
                compare_gemm(errors, machine(ideal), {algorithm, 48, 72, 60, DType::f32, rows, columns});
    errors.print("closed form for simulator, GEMM");
    errors.check_all_below(0.05);
}

TEST_CASE("closed forms of GEMV and transpose follow the simulator within 5 %") {
    Errors errors;
    for (const bool ideal : {true, false})
        for (const DType type : {DType::f32, DType::f16})
            for (const int side : {4, 8, 15, 32, 64}) {
                for (const auto sum : {GemvPlan::Sum::pipeline, GemvPlan::Sum::two_level})
                    for (const std::int64_t tile : {16, 32, 56})
                        for (const bool everywhere : {false, true}) {
                            const GemvPlan plan{tile * side, tile * 2, type, side, 2, sum, everywhere};
                            errors.add(sum == GemvPlan::Sum::pipeline ? "gemv pipeline" : "gemv two levels",
                                       gemv_cycles(machine(ideal), plan), simulated(machine(ideal), plan),
                                       fmt::format("{} rows, tile {} {}", side, tile, name(type)));
                        }
                const Program program = [type](Pe& pe) -> Process {
                    route_transpose(pe, 0);
                    const Vec a = pe.alloc(type_of(type), 24), b = pe.alloc(type_of(type), 24),
                              c = pe.alloc(type_of(type), 24);
                    co_await transpose(pe, a, b, c, 6, 4, 0);
                };
                errors.add("transpose", transpose_cycles(machine(ideal), side, 6, 4, type),
                           static_cast<double>(simulate(machine(ideal), side, side, program).cycles),
                           fmt::format("{} x {}", side, side));
            }
    errors.print("closed form for simulator, GEMV and transpose");
    errors.check_all_below(0.05);
}

TEST_SUITE("nightly") {
    TEST_CASE("closed forms of GEMM follow the simulator within 5 % up to 64 x 64") {
        Errors errors;
        compare_gemms(errors, 32, 2);
        compare_gemms(errors, 64, 1);
        errors.print("closed form for simulator, GEMM");
        errors.check_all_below(0.05);
    }
}

TEST_CASE("SUMMA on a real CS-2: median error 2 %, worst 8 %, closed form and simulator") {
    const Mesh mesh = wse2();
    Errors errors;
    for (const MeasuredSumma& point : measured_summa) {
        const std::string what = fmt::format("P {} t {}", point.side, point.tile);
        errors.add("closed form", gemm_cycles(mesh, summa_of(point)), point.cycles, what);
        if (point.side > 32 && point.tile > 8) continue;  // the simulator's cycles are those of the closed form
        if (point.side > 64) continue;
        errors.add("simulator", simulated(mesh, summa_of(point)), point.cycles, what);
    }
    errors.print("SUMMA on a real CS-2");
    CHECK(errors.median_of("closed form") <= 0.02);
    CHECK(errors.median_of("simulator") <= 0.02);
    errors.check_all_below(0.08);
}

TEST_CASE("one PE in the vendor's simulator: streamed GEMV, and a product whose instructions read SRAM") {
    const Mesh mesh = wse2();
    Errors errors;
    // Cycles of single-tile-matvec (lingzhi227/MIMD_dataflow@4775537e, out.csv) and of a row-reduce GEMM
    // (pr0f3ss/SpMM_Cerebras, GEMM_benchmark.csv; the same for 8 to 512 PEs in the reduced direction).
    for (const auto& [n, cycles] : {std::pair{10, 169.8}, std::pair{30, 1029.8}, std::pair{50, 2692.8},
                                    std::pair{60, 3701.8}, std::pair{80, 6521.8}, std::pair{90, 8412.8}})
        errors.add("streamed GEMV", streamed_gemv_cycles(mesh, DType::f32, n, n), cycles, fmt::format("N {}", n));
    errors.add("row-reduce GEMM", tile_product(mesh, DType::f32, 64, 48, 64).cycles(mesh), 477505, "64 x 48 x 64");
    errors.add("row-reduce GEMM", tile_product(mesh, DType::f32, 128, 8, 64).cycles(mesh), 150996, "128 x 8 x 64");
    errors.print("the vendor's simulator");
    errors.check_all_below(0.05);
}

TEST_CASE("GEMV of WaferLLM, table 6, on the best rectangle of a WSE-2 at 1.1 GHz") {
    const Mesh mesh = wse2();
    Errors errors;
    for (const auto& [n, seconds] : {std::pair{16384, 1.2e-6}, std::pair{32768, 2.03e-6}}) {
        const GemvPlan plan = best_gemv(mesh, n, n, DType::f16, false);
        errors.add("GEMV", gemv_cycles(mesh, plan), seconds * 1.1e9,
                   fmt::format("{0} x {0} on {1} x {2} PEs", n, plan.rows, plan.columns));
    }
    errors.print("WaferLLM, table 6");
    errors.check_all_below(0.15);
}

TEST_CASE("columns whose length is no multiple of half the banks collide") {
    const Mesh mesh = wse2();
    CHECK(bank_conflict_share(mesh, DType::f32, 32) == 0);
    CHECK(bank_conflict_share(mesh, DType::f32, 45) == 0.25);
    CHECK(bank_conflict_share(mesh, DType::f32, 46) == 0.5);
    CHECK(bank_conflict_share(mesh, DType::f16, 92) == 0.5);
    CHECK(sram_fma_cycles(mesh, DType::f32, 46) == doctest::Approx(mesh.f32_sram_fma_cycles + 0.5));
    CHECK(sram_fma_cycles(machine(true), DType::f32, 46) == 1);  // nothing to collide where ports do not limit
}

TEST_CASE("laws behave at their edges") {
    Mesh mesh = machine(false);
    const GemmPlan plan{GemmAlgorithm::summa, 512, 512, 512, DType::f32, 16, 16};
    const GemmCycles parts = gemm_parts(mesh, plan);
    CHECK(parts.sum() == doctest::Approx(gemm_cycles(mesh, plan)));
    CHECK(parts.tasks == 16 * summa_tasks * mesh.task_start_cycles);
    // More work is never faster, and neither are slower starts.
    GemmPlan longer = plan;
    longer.k += 16;
    CHECK(gemm_cycles(mesh, longer) > gemm_cycles(mesh, plan));
    mesh.vector_start_cycles += 5;
    CHECK(gemm_cycles(mesh, plan) > parts.sum());
    CHECK_THROWS_AS(best_gemv(machine(true), 1'000'000, 1'000'000, DType::f16), Error);
    const GemvPlan best = best_gemv(machine(true), 4096, 4096, DType::f16);
    CHECK(best.sram_bytes() <= machine(true).sram_bytes);
    CHECK(best.rows <= machine(true).rows);
    CHECK(best.columns <= machine(true).columns);
}
