#include <benchmark/benchmark.h>
#include <fmt/core.h>
#include <omp.h>

#include <cstring>
#include <map>
#include <set>

#include "kernels/bench/operators.hpp"
#include "kernels/bench/yardstick.hpp"
#include "kernels/cpu/session.hpp"

// Usage: operator_bench [Google Benchmark's options] | operator_bench --coverage | operator_bench --paired [WORD]
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

/// How many an operator cannot do without.
double exponentials(const Operator& o) {
    switch (o.kind) {
        case OpKind::softmax:
        case OpKind::gelu:
        case OpKind::gelu_backward:
        case OpKind::silu_mul:
        case OpKind::silu_mul_backward:
        case OpKind::cross_entropy:
        case OpKind::cross_entropy_backward: return static_cast<double>(elements(o.graph->tensors()[0].shape));
        default: return 0;
    }
}

template <class Memory>
void beside(const Operator& o, DType type, int threads, const Memory& memory, const ExpYardstick& exp) {
    const auto comm = single_process();
    Case c;
    c.graph = o.graph;
    c.threads = threads;
    CpuSession session(c, *comm, threads);
    std::vector<double> rates, memory_rates, wall, processor, bound, exps;
    for (int round = 0; round <= 7; ++round) {
        const Times m = memory.per_byte(), e = exp.per_exponential();
        const Times s = times_of([&] { session.run(); });
        if (round == 0) continue;
        rates.push_back(o.bytes / s.wall / 1e9);
        memory_rates.push_back(1e-9 / m.wall);
        exps.push_back(1e-9 / e.wall);
        wall.push_back(o.bytes * m.wall / s.wall);
        processor.push_back(o.bytes * m.processor / s.processor);
        bound.push_back(std::max(o.bytes * m.processor, exponentials(o) * e.processor) / s.processor);
    }
    fmt::print("{:26}{:6}{:>8}{:>9.1f}{:>9.1f}{:>9.2f}{:>13.2f}{:>10}{:>10.2f}\n", o.name, name(type), threads,
               median(rates), median(memory_rates), median(wall), median(processor),
               exponentials(o) > 0 ? fmt::format("{:.2f}", median(exps)) : "-", median(bound));
    std::fflush(stdout);
}

void paired_with_memory(const std::string& word) {
    fmt::print("{:26}{:6}{:>8}{:>9}{:>9}{:>9}{:>13}{:>10}{:>10}\n", "operator", "type", "threads", "GB/s", "copy",
               "of copy", "(processor)", "1e9 exp/s", "of bound");
    for (const int threads : std::set<int>{1, omp_get_num_procs()}) {
        const CopyYardstick copy(threads);
        const ReadYardstick read(threads);
        const ExpYardstick exp(threads);
        for (const DType type : {DType::f32, DType::bf16})
            for (const Operator& o : operators(type)) {
                if (o.matmul_flops > 20 * o.bytes || o.name.find(word) == std::string::npos) continue;
                if (o.kind == OpKind::attention)
                    beside(o, type, threads, read, exp);
                else
                    beside(o, type, threads, copy, exp);
            }
    }
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
    if (argc >= 2 && argc <= 3 && std::strcmp(argv[1], "--paired") == 0) {
        cpu::paired_with_memory(argc == 3 ? argv[2] : "");
        return 0;
    }
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
