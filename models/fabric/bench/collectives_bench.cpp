// How long collectives over a whole wafer take to simulate, with data, verified. Counters: cycles, what the machine
// would take; law, what the closed form says; hops/s, wavelets over links, and their bytes; FLOP/s, additions; GB, peak
// resident memory of the process.

#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <span>

#include "models/collective_laws.hpp"
#include "models/fabric/programs/collectives.hpp"
#include "models/fabric/simulator.hpp"

namespace {

using namespace wb;
using namespace wb::fabric;

Mesh machine(int rows, int columns) {
    Mesh m;
    m.rows = rows;
    m.columns = columns;
    m.sram_bytes = 48 * 1024;
    m.clock_hz = 1e9;
    m.vector_start_cycles = 2;
    m.task_start_cycles = 5;
    m.microthread_start_cycles = 3;
    return m;
}

float part(const Pe& pe, std::size_t i) {
    return static_cast<float>((static_cast<std::size_t>(7 * pe.row + 3 * pe.column) + 5 * i) % 4);
}

/// Every 97th element of every 101st PE is the plain sum over all PEs.
bool right(Simulator& simulator, int rows, int columns, Vec values) {
    for (std::size_t i = 0; i < values.count; i += 97) {
        double sum = 0;
        for (int r = 0; r < rows; ++r)
            for (int c = 0; c < columns; ++c) sum += static_cast<double>(part(simulator.pe(r, c), i));
        for (int at = 0; at < rows * columns; at += 101)
            if (static_cast<double>(simulator.pe(at / columns, at % columns).get(values, i)) != sum) return false;
    }
    return true;
}

void sum_over_wafer(benchmark::State& state, ReduceAlgorithm algorithm) {
    const auto rows = static_cast<int>(state.range(0)), columns = static_cast<int>(state.range(1));
    const std::int64_t elements = 256;
    const Mesh m = machine(rows, columns);
    const Allreduce2d sum{{ReducePlan(reduction_tree(algorithm, m, columns, elements), {0, 8}),
                           ReducePlan(reduction_tree(algorithm, m, rows, elements), {8, 8})},
                          16};
    Options o;
    o.rows = rows;
    o.columns = columns;
    o.threads = static_cast<int>(state.range(2));
    o.link_use = false;
    Vec values;
    const Program program = [&](Pe& pe) -> Process {
        route_allreduce_2d(pe, sum);
        const Vec v = pe.alloc(Type::f32, static_cast<std::size_t>(elements));
        const std::span<float> held = pe.f32(v);
        for (std::size_t i = 0; i < held.size(); ++i) held[i] = part(pe, i);
        if (pe.row == 0 && pe.column == 0) values = v;
        co_await allreduce_2d(pe, v, sum);
    };
    double cycles = 0, hops = 0;
    for (auto _ : state) {
        Simulator simulator(m, o);
        const Result r = simulator.run(program);
        cycles = static_cast<double>(r.cycles);
        hops += static_cast<double>(r.hops);
        state.PauseTiming();
        if (!right(simulator, rows, columns, values)) state.SkipWithError("wrong sum");
        state.ResumeTiming();
    }
    rusage use{};
    getrusage(RUSAGE_SELF, &use);
    state.counters["cycles"] = cycles;
    state.counters["law"] = static_cast<double>(reduce_cycles(algorithm, m, columns, elements) +
                                                reduce_cycles(algorithm, m, rows, elements) +
                                                broadcast_2d_cycles(m, rows, columns, elements));
    state.counters["hops"] = benchmark::Counter(hops, benchmark::Counter::kIsRate);
    state.counters["FLOP/s"] =
        benchmark::Counter(static_cast<double>(elements) * (static_cast<double>(rows) * columns - 1),
                           benchmark::Counter::kIsIterationInvariantRate);
    state.SetBytesProcessed(4 * static_cast<std::int64_t>(hops));
    state.counters["GB"] = static_cast<double>(use.ru_maxrss) * 1024 / 1e9;
}

void closed_form(benchmark::State& state) {
    const Mesh m = machine(1024, 1024);
    std::int64_t b = 0, sum = 0;
    for (auto _ : state) {
        ++b;
        sum += best_simple_reduce(m, 1 + static_cast<int>(b * 37 % 1000), 1 + b % 1000).cycles;
    }
    benchmark::DoNotOptimize(sum);
    state.SetItemsProcessed(state.iterations());
}

}  // namespace

int main(int argc, char** argv) {
    for (const auto algorithm : {ReduceAlgorithm::fastest, ReduceAlgorithm::two_phase, ReduceAlgorithm::chain})
        benchmark::RegisterBenchmark(("allreduce_2d/" + std::string(name(algorithm))).c_str(), sum_over_wafer,
                                     algorithm)
            ->ArgNames({"rows", "columns", "threads"})
            ->Args({128, 128, 1})
            ->Args({256, 256, 1})
            ->Args({300, 750, 1})
            ->Args({994, 750, 1})
            ->Args({994, 750, 2})
            ->Unit(benchmark::kMillisecond)
            ->Iterations(1)
            ->UseRealTime();
    benchmark::RegisterBenchmark("best_simple_reduce", closed_form);
    benchmark::Initialize(&argc, argv);
    benchmark::RunSpecifiedBenchmarks();
}
