// What the harness itself costs: outside the timed region, for each case and for each sample.

#include <benchmark/benchmark.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

#include "harness/checkpoint.hpp"
#include "harness/journal.hpp"
#include "harness/result_file.hpp"
#include "harness/runner.hpp"

namespace {

using namespace wb;

/// Answers at once: all that is left is the harness.
class NullSession final : public Session {
public:
    Sample run() override {
        const auto begin = std::chrono::steady_clock::now();
        return {Seconds(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() + 1e-6), {}};
    }
    ResourceUse usage() const override { return {}; }
};

class NullBackend final : public Backend {
public:
    Kind kind() const override { return Kind::measured; }
    Support supports(const Case&, int) const override { return {}; }
    std::unique_ptr<Session> prepare(const Case&, Comm&) const override { return std::make_unique<NullSession>(); }
};

PlannedCase null_case(const Backend& backend, int samples) {
    PlannedCase p;
    Graph g("null");
    g.mark_output(g.add(OpKind::collective, "y", {g.input("x", {1}, DType::f32)}));
    p.c.graph = p.c.small = std::make_shared<const Graph>(g);
    p.c.system = std::make_shared<const System>();
    p.c.key = "null";
    p.c.protocol.verify = false;
    p.c.protocol.min_samples = p.c.protocol.max_samples = samples;
    p.c.protocol.max_noise = 0;
    p.backend = &backend;
    return p;
}

void sample(benchmark::State& state) {
    const NullBackend backend;
    const BackendSet set;
    const auto comm = single_process();
    const int samples = static_cast<int>(state.range(0));
    const PlannedCase p = null_case(backend, samples);
    for (auto _ : state) {
        Runner runner(set, *comm, {});
        benchmark::DoNotOptimize(runner.run(p));
    }
    state.counters["per_sample"] =
        benchmark::Counter(static_cast<double>(samples) * static_cast<double>(state.iterations()),
                           benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(sample)->Arg(1000)->Arg(100000)->Unit(benchmark::kMicrosecond);

/// What two readings of the clock cost: part of `sample`, whoever measures.
void clock_alone(benchmark::State& state) {
    for (auto _ : state) {
        benchmark::DoNotOptimize(std::chrono::steady_clock::now());
        benchmark::DoNotOptimize(std::chrono::steady_clock::now());
    }
}
BENCHMARK(clock_alone);

/// One case with ten samples: run, record, append, sync.
void one_case(benchmark::State& state) {
    const NullBackend backend;
    const BackendSet set;
    const auto comm = single_process();
    const PlannedCase p = null_case(backend, 10);
    const auto path = std::filesystem::temp_directory_path() / ("wb_bench_" + std::to_string(getpid()) + ".journal");
    {
        JournalWriter journal = JournalWriter::open(path);
        Runner runner(set, *comm, {});
        for (auto _ : state) journal.append(to_record(runner.run(p)));
    }
    std::filesystem::remove(path);
}
BENCHMARK(one_case)->Unit(benchmark::kMicrosecond);

/// Publishing n cases: tables, checksums, read back and verified.
void publish_cases(benchmark::State& state) {
    ResultSet set;
    for (std::int64_t i = 0; i < state.range(0); ++i) {
        Result r;
        r.key = r.label = "case " + std::to_string(i);
        r.flops = 1;
        r.m.samples_s = {1, 2, 3};
        set.results.push_back(r);
    }
    const auto path = std::filesystem::temp_directory_path() / ("wb_bench_" + std::to_string(getpid()) + ".h5");
    for (auto _ : state) write_results(path, set);
    std::filesystem::remove(path);
}
BENCHMARK(publish_cases)->Arg(20000)->Unit(benchmark::kMillisecond);

/// A checkpoint of so many MiB: written aside, sealed, synced and renamed, or read back into memory.
void checkpoint(benchmark::State& state, bool write) {
    const auto comm = single_process();
    const auto folder = std::filesystem::temp_directory_path() / ("wb_bench_" + std::to_string(getpid()));
    const auto storage = file_storage(nullptr, folder, true, *comm);
    std::vector<float> weights(static_cast<std::size_t>(state.range(0)) << 18, 1.0F);
    StoredPiece piece;
    piece.name = "weights";
    piece.whole = piece.local = {static_cast<std::int64_t>(weights.size())};
    piece.data = reinterpret_cast<std::byte*>(weights.data());
    piece.stride = static_cast<std::int64_t>(weights.size() * sizeof(float));
    std::int64_t bytes = 0, step = 1;
    if (!write) storage->save({step, {}, ""}, {&piece, 1});
    for (auto _ : state)
        bytes += write ? storage->save({step++, {}, ""}, {&piece, 1}) : storage->restore(1, {&piece, 1});
    state.SetBytesProcessed(bytes);
    std::filesystem::remove_all(folder);
}
BENCHMARK_CAPTURE(checkpoint, write, true)->Arg(64)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(checkpoint, read, false)->Arg(64)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
