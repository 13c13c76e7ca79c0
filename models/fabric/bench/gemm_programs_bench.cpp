// How long whole matrix products take in the simulator. Counters: cycles, of the simulated machine; hops/s, wavelets
// over links, and their bytes; FLOP/s, useful ones where data are computed; error, the worst of the spot values
// relative to the largest.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "models/fabric/programs/gemm.hpp"

namespace {

using namespace wb;
using namespace wb::fabric;

/// Start costs and memory ports of about those fitted to a real wafer.
Mesh machine() {
    Mesh m;
    m.rows = m.columns = 750;
    m.sram_bytes = 48 * 1024;
    m.clock_hz = 1e9;
    m.vector_start_cycles = 22;
    m.task_start_cycles = 62;
    m.f32_sram_fma_cycles = 2.1;
    return m;
}

std::vector<float> small_integers(std::size_t n, unsigned seed) {
    std::mt19937 random(seed);
    std::vector<float> v(n);
    for (float& x : v) x = static_cast<float>(static_cast<int>(random() % 5) - 2);
    return v;
}

/// Against sums in double of some elements of C.
double worst_error(const GemmPlan& p, const std::vector<float>& a, const std::vector<float>& b,
                   const std::vector<float>& c) {
    const auto k = static_cast<std::size_t>(p.k), n = static_cast<std::size_t>(p.n);
    std::mt19937 random(3);
    double worst = 0, largest = 1;
    for (int spot = 0; spot < 2000; ++spot) {
        const std::size_t i = random() % static_cast<std::size_t>(p.m), j = random() % n;
        double exact = 0;
        for (std::size_t l = 0; l < k; ++l) exact += double{a[i * k + l]} * double{b[l * n + j]};
        worst = std::max(worst, std::abs(exact - double{c[i * n + j]}));
        largest = std::max(largest, std::abs(exact));
    }
    return worst / largest;
}

void product(benchmark::State& state, const GemmPlan& plan, bool data) {
    std::vector<float> a, b;
    if (data) {
        a = small_integers(static_cast<std::size_t>(plan.m * plan.k), 1);
        b = small_integers(static_cast<std::size_t>(plan.k * plan.n), 2);
    }
    Options o;
    o.rows = plan.rows;
    o.columns = plan.columns;
    o.data = data;
    o.link_use = false;
    double hops = 0, fma = 0, cycles = 0, error = 0;
    for (auto _ : state) {
        GemmProgram gemm(plan, a, b);
        Simulator simulator(machine(), o);
        const Result r = simulator.run(gemm.program());
        cycles = static_cast<double>(r.cycles);
        hops += static_cast<double>(r.hops);
        if (!data) continue;
        fma += r.fma;
        error = worst_error(plan, a, b, gemm.result(simulator));
        if (error > 1e-2) state.SkipWithError("the product is wrong");
    }
    using benchmark::Counter;
    state.counters["cycles"] = cycles;
    state.counters["hops"] = Counter(hops, Counter::kIsRate);
    if (data) state.counters["FLOP/s"] = Counter(2 * fma, Counter::kIsRate);
    state.SetBytesProcessed(4 * static_cast<std::int64_t>(hops));
    if (data) state.counters["error"] = error;
}

/// SUMMA in f32, timing only: side of the mesh, edge of the tiles.
void summa_timing(benchmark::State& state) {
    const std::int64_t side = state.range(0), n = side * state.range(1);
    product(state, {GemmAlgorithm::summa, n, n, n, DType::f32, static_cast<int>(side), static_cast<int>(side)}, false);
}
BENCHMARK(summa_timing)->Args({64, 8})->Args({128, 8})->Args({256, 8})->Iterations(1)->Unit(benchmark::kSecond);

/// MeshGEMM in f16 with data, operands dealt as the first step needs them, and checked: mesh, matrix.
void meshgemm_data(benchmark::State& state) {
    const auto side = static_cast<int>(state.range(0));
    const std::int64_t n = state.range(1);
    product(state, {GemmAlgorithm::interleaved, n, n, n, DType::f16, side, side, true}, true);
}
BENCHMARK(meshgemm_data)->Args({16, 1024})->Args({64, 4096})->Iterations(1)->Unit(benchmark::kSecond);

}  // namespace

BENCHMARK_MAIN();
