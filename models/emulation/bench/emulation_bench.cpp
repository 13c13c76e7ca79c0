// How fast messages are played: rings, and whether a unit costs the same among many as among few. One rank; for more,
// run the experiment of docs/models.md under mpirun.

#include <benchmark/benchmark.h>

#include "models/emulation/engine.hpp"

namespace {

using namespace wb;
using namespace wb::emulation;

/// One collective by LogGP alone: L=2500, o=1500, g=1000, G=6 ns, as LogGOPSim was measured with.
Program bare(CollectiveKind operation, Algorithm algorithm, std::int64_t bytes, int units) {
    Play p;
    p.kind = Step::Kind::collective;
    p.bytes = bytes;
    p.wire = {2'500'000, 1'500'000, 1'000'000, 6000, false};
    p.collective = collective_of(operation, algorithm, units);
    Program program;
    program.mapping.tensor = program.units = units;
    program.stages = {{p}};
    return program;
}

void play(benchmark::State& state, CollectiveKind operation, Algorithm algorithm) {
    const auto comm = single_process();
    const int units = static_cast<int>(state.range(0));
    Engine engine(bare(operation, algorithm, 1 << 20, units), *comm);
    std::int64_t messages = 0;
    Time finish = 0;
    for (auto _ : state) {
        const Finish f = engine.run();
        messages += f.messages;
        finish = f.time;
    }
    state.SetItemsProcessed(messages);
    state.counters["finish_ns"] = static_cast<double>(finish) / 1000;
    state.counters["bytes_per_unit"] = engine.bytes_per_unit();
    state.counters["seconds_per_unit"] =
        benchmark::Counter(static_cast<double>(units) * static_cast<double>(state.iterations()),
                           benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK_CAPTURE(play, ring, CollectiveKind::allreduce, Algorithm::ring)
    ->Arg(64)
    ->Arg(256)
    ->Arg(512)
    ->Arg(1024)
    ->Unit(benchmark::kMillisecond);
/// A message and unit more does not cost more: rounds grow with the logarithm only.
BENCHMARK_CAPTURE(play, dissemination, CollectiveKind::allreduce, Algorithm::dissemination)
    ->RangeMultiplier(4)
    ->Range(64, 16384)
    ->Unit(benchmark::kMillisecond);
/// The same rounds for any number of units: time a unit must not grow.
BENCHMARK_CAPTURE(play, shift, CollectiveKind::send_recv, Algorithm::ring)
    ->RangeMultiplier(4)
    ->Range(64, 16384)
    ->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
