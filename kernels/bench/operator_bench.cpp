#include <benchmark/benchmark.h>
#include <fmt/core.h>
#include <omp.h>

#include <cstring>
#include <map>
#include <set>

#include "kernels/bench/operators.hpp"
#include "kernels/bench/yardstick.hpp"
#include "kernels/cpu/session.hpp"

// Usage: operator_bench [Google Benchmark's options] | operator_bench --coverage
// Every operator of the CPU backend as its sessions run it, one at a time. Counters: bytes_per_second, each operand
// read and each result written once; FLOP/s; "of ceiling": the time that large products and a plain copy would take for
// as much, measured by this program, over the operator's. --coverage names kinds of op without a benchmark: exit
// code 1.

namespace wb::cpu {
namespace {

/// What this host does in a second with so many threads, measured when first asked for.
struct Ceiling {
    double flops, bytes;
};
const Ceiling& ceiling(DType type, int threads) {
    static std::map<std::pair<DType, int>, Ceiling> known;
    const auto at = known.find({type, threads});
    if (at != known.end()) return at->second;
    const Ceiling found{
        1 / GemmYardstick(threads, type == DType::bf16 ? GemmType::bf16 : GemmType::f32).per_flop().wall,
        1 / CopyYardstick(threads).per_byte().wall};
    return known[{type, threads}] = found;
}

void run(benchmark::State& state, const Operator& o, DType type, int threads) {
    const Ceiling& best = ceiling(type, threads);
    const auto comm = single_process();
    Case c;
    c.graph = o.graph;
    c.threads = threads;
    CpuSession session(c, *comm, threads);
    session.run();
    for (auto _ : state) session.run();
    const auto rate = [&](double amount) {
        return benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate);
    };
    state.counters["FLOP/s"] = rate(o.flops);
    state.counters["of ceiling"] = rate(std::max(o.matmul_flops / best.flops, o.bytes / best.bytes));
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(o.bytes));
    if (std::string what = session.usage().detail; o.matmul_flops > 0) state.SetLabel(what);
}

int coverage() {
    const std::vector<OpKind> missing = without_operator();
    for (const OpKind kind : missing) fmt::print("no benchmark of {}\n", name(kind));
    if (missing.empty()) fmt::print("every operator has a benchmark\n");
    return missing.empty() ? 0 : 1;
}

}  // namespace
}  // namespace wb::cpu

int main(int argc, char** argv) {
    using namespace wb;
    if (argc == 2 && std::strcmp(argv[1], "--coverage") == 0) return cpu::coverage();
    for (const DType type : {DType::f32, DType::bf16})
        for (const cpu::Operator& o : cpu::operators(type))
            for (const int threads : std::set<int>{1, omp_get_num_procs()})
                benchmark::RegisterBenchmark(
                    fmt::format("{}/{}/threads:{}", name(type), o.name, threads).c_str(),
                    [o, type, threads](benchmark::State& state) { cpu::run(state, o, type, threads); })
                    ->UseRealTime()
                    ->Unit(benchmark::kMicrosecond);
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    benchmark::RunSpecifiedBenchmarks();
}
