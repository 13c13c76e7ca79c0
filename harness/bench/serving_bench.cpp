// The speed of the simulation of a server: steps, and sequences and prompts in them, each second.

#include <benchmark/benchmark.h>

#include "core/arrivals.hpp"
#include "harness/serving/engine.hpp"

namespace {

using namespace wb;

class Plain final : public serving::StepTimes {
public:
    double seconds(const serving::Step& s) override {
        return 0.01 + 1e-5 * static_cast<double>(s.prompt_tokens) + 1e-5 * static_cast<double>(s.decodes);
    }
};

void serve(benchmark::State& state) {
    const auto requests = requests_of({"poisson:100/s", "uniform", 20000, 500, 200, 1});
    serving::Engine engine;
    engine.max_batch = state.range(0);
    engine.policy = BatchPolicy::chunked;
    std::int64_t steps = 0, request_steps = 0;
    for (auto _ : state) {
        Plain times;
        const serving::Trace t = serving::simulate(requests, engine, times);
        steps += t.steps;
        request_steps += t.request_steps;
    }
    state.counters["steps/s"] = benchmark::Counter(static_cast<double>(steps), benchmark::Counter::kIsRate);
    state.counters["request_steps/s"] =
        benchmark::Counter(static_cast<double>(request_steps), benchmark::Counter::kIsRate);
}
BENCHMARK(serve)->Arg(1)->Arg(16)->Arg(256)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
