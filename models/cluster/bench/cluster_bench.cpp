// How fast the closed form of a cluster is: a product, one step of a mapping, a whole search, a schedule played.
// items_per_second: products, mappings, ops of the graph, steps of the schedule.

#include <benchmark/benchmark.h>

#include "core/tables.hpp"
#include "core/workload.hpp"
#include "models/bounds.hpp"
#include "models/cluster/search.hpp"
#include "models/operator_cost.hpp"
#include "models/pipeline_schedule.hpp"

namespace {

using namespace wb;
using namespace wb::cluster;

const std::string configs = WB_SOURCE_DIR "/configs";

Graph model(const std::string& pass, const std::string& name, std::int64_t batch, std::int64_t seq) {
    return build_workload(pass, {{"model", name}, {"batch", batch}, {"seq", seq}, {"dtype", std::string("bf16")}},
                          Files({configs}));
}

constexpr double most_units = 4096;  // of the searches below

/// The first system with all constants that multiplies in bf16 and joins thousands of units.
const System& system_file() {
    static const System found = [] {
        const Files files({configs});
        for (const std::string& id : files.names("systems", ".toml")) {
            System s = load_system(files.find("systems/" + id + ".toml"));
            if (s.kind == SystemKind::cluster && missing_constant(s).empty() && s.peak.contains(DType::bf16) &&
                s.fabrics.size() > 1 && joinable_units(s).value_or(most_units) >= most_units)
                return s;
        }
        throw Error({configs, "no cluster with fitted constants", "there is nothing to plan for", ""});
    }();
    return found;
}

Graph gpt3() { return model("train", "gpt3-175b", 1536, 2048); }

void product_estimate(benchmark::State& state) {
    const Device device(system_file());
    Product p{1, 4096, 12288, 6144, DType::bf16, DType::bf16, DType::bf16, true};
    for (auto _ : state) {
        p.m = p.m == 4096 ? 8192 : 4096;
        benchmark::DoNotOptimize(product(device, p));
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(product_estimate);

/// Kernel costs of the tensor ranks and the token share are known, as in a search.
void evaluate_known(benchmark::State& state) {
    const Graph g = gpt3();
    const Device device(system_file());
    Planner planner(g, device);
    Mapping m = Mapping::parse("tp8 pp8 dp64 mb24 vp3 sp zero1");
    planner.evaluate(m);
    for (auto _ : state) {
        m.virtual_stages = m.virtual_stages == 3 ? 6 : 3;
        benchmark::DoNotOptimize(planner.evaluate(m));
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(evaluate_known)->Unit(benchmark::kMicrosecond);

/// The same from nothing but the graph of a tensor rank.
void evaluate_afresh(benchmark::State& state) {
    const Graph g = gpt3();
    const Device device(system_file());
    Planner planner(g, device);
    const Mapping m = Mapping::parse("tp8 pp8 dp64 mb24 vp3 sp zero1");
    const Graph& local = planner.part(8).local;
    for (auto _ : state) benchmark::DoNotOptimize(model_step(local, device, m));
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(local.ops().size()));
}
BENCHMARK(evaluate_afresh)->Unit(benchmark::kMicrosecond);

void search(benchmark::State& state, const std::string& pass, const std::string& name, std::int64_t batch, int units) {
    const Graph g = model(pass, name, batch, 2048);
    const Device device(system_file());
    std::int64_t mappings = 0;
    for (auto _ : state) mappings += Planner(g, device).search(units).lawful;
    state.SetItemsProcessed(mappings);
}
BENCHMARK_CAPTURE(search, train_175b_4096, "train", "gpt3-175b", 1536, 4096)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(search, train_mixture_512, "train", "mixtral-8x7b", 1024, 512)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(search, decode_70b_16, "decode", "llama3-70b", 64, 16)->Unit(benchmark::kMillisecond);

void schedule(benchmark::State& state) {
    const Graph g = gpt3();
    const Device device(system_file());
    Planner planner(g, device);
    const Mapping m = Mapping::parse("tp8 pp8 dp64 mb24 vp3 sp zero1");
    const ModelWork& work = planner.work(m);
    std::size_t steps = 0;
    for (auto _ : state) {
        const StageSteps all = pipeline_steps(work, device, m);
        for (const auto& stage : all.stages) steps += stage.size();
        benchmark::DoNotOptimize(play(all, step_seconds(device, m)).seconds);
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(steps));
}
BENCHMARK(schedule)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
