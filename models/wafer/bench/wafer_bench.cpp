// How fast the closed form of a wafer is: an op, and a whole search over placements.
// items_per_second: ops evaluated.

#include <benchmark/benchmark.h>

#include "core/tables.hpp"
#include "core/workload.hpp"
#include "models/wafer/placement.hpp"

namespace {

using namespace wb;
using namespace wb::wafer;

const std::string configs = WB_SOURCE_DIR "/configs";

Graph model(const std::string& pass, const std::string& name, std::int64_t seq) {
    return build_workload(pass, {{"model", name}, {"seq", seq}, {"dtype", std::string("f16")}}, Files({configs}));
}

/// Any wafer that is joined with others.
const System& system_file() {
    static const System found = [] {
        const Files files({configs});
        for (const std::string& id : files.names("systems", ".toml")) {
            System s = load_system(files.find("systems/" + id + ".toml"));
            if (s.kind == SystemKind::wafer && Machine(s).joined > 100) return s;
        }
        throw Error({configs, "no cluster of wafers", "there is nothing to place on", ""});
    }();
    return found;
}

void op_evaluations(benchmark::State& state) {
    const Graph g = model("decode", "llama3-70b", 4096);
    const Machine m(system_file());
    std::int64_t ops = 0;
    int side = 200;
    for (auto _ : state) {
        side = side == 600 ? 200 : side + 1;
        for (const Op& op : g.ops()) benchmark::DoNotOptimize(op_cost(m, g, op, {{side, side}, 1, "", 1e4}));
        ops += static_cast<std::int64_t>(g.ops().size());
    }
    state.SetItemsProcessed(ops);
}
BENCHMARK(op_evaluations)->Unit(benchmark::kMicrosecond);

void search(benchmark::State& state, const std::string& pass, const std::string& name, int wafers) {
    const Graph g = model(pass, name, 4096);
    const Machine m(system_file());
    std::int64_t ops = 0;
    for (auto _ : state) ops += place(m, {g, wafers, {}}).ops;
    state.SetItemsProcessed(ops);
}
BENCHMARK_CAPTURE(search, decode_70b, "decode", "llama3-70b", 4)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(search, decode_mixture, "decode", "gpt-oss-120b", 6)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(search, prefill_70b, "prefill", "llama3-70b", 4)->Unit(benchmark::kMillisecond);

void training_step(benchmark::State& state) {
    const Graph g = model("train", "llama2-7b", 4096);
    const Machine m(system_file());
    for (auto _ : state) benchmark::DoNotOptimize(evaluate_training(m, {g, 1, {}}, system_file()));
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(g.ops().size()));
}
BENCHMARK(training_step)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
