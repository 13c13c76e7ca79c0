// What a table of costs takes: `./tco_bench`. To be kept: 20 systems x 10,000 trials below 2 s on one core.
#include <benchmark/benchmark.h>

#include "harness/tco/pages.hpp"

namespace {

using namespace wb::tco;

const wb::Files& files() {
    static const wb::Files all({WB_CONFIG_DIR});
    return all;
}

/// One decoding step on each of `systems` devices, as if it had been stored.
std::vector<Yield> yields(int systems) {
    const std::vector<std::string> devices = files().names("tco/devices", ".toml");
    std::vector<Yield> out;
    for (int i = 0; i < systems; ++i) {
        Yield y;
        y.system = devices[static_cast<std::size_t>(i) % devices.size()];
        y.label = y.workload = y.family = "decode";
        y.backend = "cluster";
        y.units = y.node_units = 8 + i;  // of different sizes, so that no two share their trials
        y.run_s = 0.01 + 0.001 * i;
        y.low = 0.8, y.high = 1.2;
        y.output_tokens = 64;
        y.interactivity = 1 / y.run_s;
        out.push_back(y);
    }
    return out;
}

void tables(benchmark::State& state) {
    const Book book = Book::load(files(), "neocloud");
    const std::vector<Yield> rows = yields(20);
    for (auto _ : state) {
        const Study study(book, rows, {static_cast<std::size_t>(state.range(0)), 1, false});
        benchmark::DoNotOptimize(costs_page(study, "2026-11-21").table.rows());
        benchmark::DoNotOptimize(hours_page(study, "2026-11-21").table.rows());
        benchmark::DoNotOptimize(parity_page(study, "", "2026-11-21").table.rows());
    }
    state.counters["trials/s"] =
        benchmark::Counter(static_cast<double>(state.range(0)) * 20, benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(tables)->Arg(1000)->Arg(10000)->Unit(benchmark::kMillisecond);

void every_table(benchmark::State& state) {
    const Book book = Book::load(files(), "neocloud");
    const std::vector<Yield> rows = yields(20);
    for (auto _ : state) {
        const Study study(book, rows, {10000, 1, false});
        for (const Page& p : {costs_page(study, "2026-11-21"), hours_page(study, "2026-11-21"),
                              parity_page(study, "", "2026-11-21"), chances_page(study), tornado_page(study),
                              importance_page(study), views_page(study), rent_page(study, "2026-11-21")})
            benchmark::DoNotOptimize(p.table.rows());
    }
}
BENCHMARK(every_table)->Unit(benchmark::kMillisecond);

void assumptions(benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(Book::load(files(), "neocloud").all().size());
}
BENCHMARK(assumptions)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
