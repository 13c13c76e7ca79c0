// How fast messages are played: rings, and whether a unit costs the same among many as among few. One rank; for more,
// run the experiment of docs/models.md under mpirun. bytes_per_second: what the messages stand for, and, where they
// carry data, have carried; FLOP/s: additions of such data.

#include <benchmark/benchmark.h>

#include "models/emulation/engine.hpp"

namespace {

using namespace wb;
using namespace wb::emulation;

/// One collective by LogGP alone: L=2500, o=1500, g=1000, G=6 ns, as LogGOPSim was measured with.
Program bare(CollectiveKind operation, Algorithm algorithm, std::int64_t bytes, int units, int times) {
    Play p;
    p.kind = Step::Kind::collective;
    p.bytes = bytes;
    p.wire = {2'500'000, 1'500'000, 1'000'000, 6000, false};
    p.collective = collective_of(operation, algorithm, units);
    Program program;
    program.mapping.tensor = program.units = units;
    program.stages = {std::vector<Play>(static_cast<std::size_t>(times), p)};
    return program;
}

/// All-reduce of domains of 8, ring inside, halving and doubling between them: 14 messages a unit and 2 log2 (n / 8).
Program hierarchical(std::int64_t bytes, int units) {
    constexpr int domain = 8;
    Program program = bare(CollectiveKind::reduce_scatter, Algorithm::ring, bytes, units, 3);
    std::vector<Play>& plays = program.stages.front();
    for (const int inside : {0, 2}) plays[static_cast<std::size_t>(inside)].inside = domain;
    plays[0].collective = collective_of(CollectiveKind::reduce_scatter, Algorithm::ring, domain);
    plays[1].collective = collective_of(CollectiveKind::allreduce, Algorithm::halving_doubling, units / domain);
    plays[1].skip = plays[1].shards = domain;
    plays[2].collective = collective_of(CollectiveKind::allgather, Algorithm::ring, domain);
    return program;
}

void add_floats(std::byte* to, const std::byte* from, std::int64_t bytes) {
    auto* sum = reinterpret_cast<float*>(to);
    const auto* more = reinterpret_cast<const float*>(from);
    for (std::int64_t i = 0; i < bytes / 4; ++i) sum[i] += more[i];
}

void run(benchmark::State& state, const Program& program) {
    const auto comm = single_process();
    const int units = program.units;
    Engine engine(program, *comm);
    engine.add_with(add_floats);
    std::int64_t messages = 0, bytes = 0;
    Time finish = 0;
    for (auto _ : state) {
        for (int u = 0; u < units && program.payload == Payload::full; ++u)
            engine.buffer(u).assign(static_cast<std::size_t>(program.stages.front().front().bytes), std::byte{});
        const Finish f = engine.run();
        messages += f.messages;
        bytes += f.bytes;
        finish = f.time;
    }
    state.SetItemsProcessed(messages);
    state.SetBytesProcessed(bytes);
    state.counters["finish_ns"] = static_cast<double>(finish) / 1000;
    state.counters["bytes_per_unit"] = engine.bytes_per_unit();
    state.counters["seconds_per_unit"] =
        benchmark::Counter(static_cast<double>(units) * static_cast<double>(state.iterations()),
                           benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void play(benchmark::State& state, CollectiveKind operation, Algorithm algorithm, int times) {
    run(state, bare(operation, algorithm, 1 << 20, static_cast<int>(state.range(0)), times));
}
BENCHMARK_CAPTURE(play, ring, CollectiveKind::allreduce, Algorithm::ring, 1)
    ->Arg(64)
    ->Arg(256)
    ->Arg(512)
    ->Arg(1024)
    ->Unit(benchmark::kMillisecond);
/// A message and unit more does not cost more: rounds grow with the logarithm only.
BENCHMARK_CAPTURE(play, dissemination, CollectiveKind::allreduce, Algorithm::dissemination, 1)
    ->RangeMultiplier(4)
    ->Range(64, 16384)
    ->Unit(benchmark::kMillisecond);
/// 16 messages a unit to its neighbour, for any number of units: time a unit must not grow.
BENCHMARK_CAPTURE(play, shift, CollectiveKind::send_recv, Algorithm::ring, 16)
    ->RangeMultiplier(4)
    ->Range(64, 16384)
    ->Unit(benchmark::kMicrosecond);

/// An all-reduce of real data: n - 1 additions of every element.
void carried(benchmark::State& state) {
    constexpr std::int64_t bytes = 1 << 20;
    const int units = static_cast<int>(state.range(0));
    Program program = bare(CollectiveKind::allreduce, Algorithm::ring, bytes, units, 1);
    program.payload = Payload::full;
    program.element_bytes = 4;
    run(state, program);
    state.counters["FLOP/s"] =
        benchmark::Counter(static_cast<double>(bytes) / 4 * (units - 1), benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(carried)->Arg(8)->Arg(64)->Unit(benchmark::kMillisecond);

void domains(benchmark::State& state) { run(state, hierarchical(1 << 20, static_cast<int>(state.range(0)))); }
BENCHMARK(domains)->RangeMultiplier(4)->Range(64, 16384)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
