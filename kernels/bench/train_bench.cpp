#include <benchmark/benchmark.h>
#include <fmt/core.h>
#include <omp.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "core/backward.hpp"
#include "core/workload.hpp"
#include "kernels/bench/yardstick.hpp"
#include "kernels/cpu/session.hpp"
#include "kernels/workloads/model/model_config.hpp"
#include "kernels/workloads/model/transformer.hpp"

// Usage: train_bench CONFIGS [Google Benchmark's options] | train_bench CONFIGS --shares [TOKENS]
//        | train_bench CONFIGS --bound [STEPS [TOKENS [THREADS]]]
// Optimizer steps of GPT-2 124M, 4 sequences of TOKENS (64) tokens; CONFIGS is the folder configs. --bound takes steps
// and sgemm in turn and prints the step's FLOP/s as a share of sgemm's, by wall time and by processor time; --shares
// prints where the time of a step goes, by kind of op and, for products, by shape.

namespace wb::cpu {
namespace {

Case gpt2_step(const std::string& configs, DType type, std::int64_t tokens, int threads) {
    auto graph = std::make_shared<Graph>("train");
    build_transformer(*graph, load_model("gpt2", Files({configs})), Pass::train, {4, tokens, type});
    add_update(*graph, derive_backward(*graph));
    Case c;
    c.graph = std::move(graph);
    c.threads = threads;
    return c;
}

void train_step(benchmark::State& state, const std::string& configs, DType type) {
    const int threads = omp_get_max_threads();
    const auto comm = single_process();
    CpuSession session(gpt2_step(configs, type, 64, threads), *comm, threads);
    GemmYardstick yardstick(threads);
    session.run();
    const double flop = session.local().flops().si();
    std::vector<double> ratios, rates;
    for (auto _ : state) {
        const double step_s = session.run().elapsed.si();
        state.SetIterationTime(step_s);
        rates.push_back(flop / step_s);
        ratios.push_back(flop / step_s * yardstick.per_flop().wall);  // taken in turn: both see the same machine
    }
    state.counters["GFLOP/s"] = median(rates) / 1e9;
    state.counters["of sgemm 2048^3"] = median(ratios);
}

void print_bound(const std::string& configs, DType type, std::int64_t tokens, int threads, int steps) {
    const auto comm = single_process();
    CpuSession session(gpt2_step(configs, type, tokens, threads), *comm, threads);
    GemmYardstick yardstick(threads);
    const double flop = session.local().flops().si();
    session.run();
    const Paired p = paired(
        steps, flop, [&] { session.run(); }, [&] { return yardstick.per_flop(); });
    fmt::print("{:6}{:8}{:8}{:14.1f}{:12.1f}{:14.1f}{:12.3f}{:12.3f}\n", name(type), tokens, threads, 1e3 * p.subject_s,
               flop / p.subject_s / 1e9, 1e-9 / p.yardstick, p.of_wall, p.of_processor);
    std::fflush(stdout);
}

std::string label(const Graph& g, const Op& op) {
    std::string text{name(op.kind)};
    if (op.kind != OpKind::matmul) return text;
    const Shape &c = g.tensor(op.out[0]).shape, &a = g.tensor(op.in[0]).shape;
    return text + fmt::format(" {}x{}x{} {}{}", c[0], c[1], a[op.attributes.trans_a ? 0 : 1],
                              op.attributes.trans_a ? 'T' : 'N', op.attributes.trans_b ? 'T' : 'N');
}

void print_shares(const std::string& configs, DType type, std::int64_t tokens) {
    const int threads = omp_get_max_threads();
    const auto comm = single_process();
    CpuSession session(gpt2_step(configs, type, tokens, threads), *comm, threads);
    session.run();
    session.time_ops(true);
    struct Use {
        double seconds = 0, flop = 0;
        int calls = 0;
    };
    std::map<std::string, Use> by_kind;
    double total_s = 0;
    constexpr int steps = 3;
    const Graph& g = session.local();
    for (int i = 0; i < steps; ++i)
        for (const Span& s : session.run().spans)
            if (s.op >= 0) {
                const Op& op = g.ops()[s.op];
                Use& use = by_kind[label(g, op)];
                use.seconds += s.duration.si() / steps;
                if (op.kind == OpKind::matmul)
                    use.flop += 2.0 / steps * static_cast<double>(g.elements(op.out[0])) *
                                static_cast<double>(g.tensor(op.in[0]).shape[op.attributes.trans_a ? 0 : 1]);
                ++use.calls;
                total_s += s.duration.si() / steps;
            }
    fmt::print("{} {} tokens {} threads, {:.1f} ms a step, {:.0f} GFLOP/s ({})\n", name(type), 4 * tokens, threads,
               1e3 * total_s, g.flops().si() / total_s / 1e9, session.usage().detail);
    for (const auto& [kind, use] : by_kind)
        fmt::print("{:28}{:6} calls{:9.2f} ms{:7.1f} %{:9.1f} GFLOP/s\n", kind, use.calls / steps, 1e3 * use.seconds,
                   100 * use.seconds / total_s, use.flop / use.seconds / 1e9);
}

}  // namespace
}  // namespace wb::cpu

int main(int argc, char** argv) {
    using namespace wb;
    benchmark::Initialize(&argc, argv);
    if (argc < 2) {
        fmt::print(stderr, "usage: train_bench CONFIGS [--shares [TOKENS] | --bound [STEPS [TOKENS [THREADS]]]]\n");
        return 1;
    }
    const std::string configs = argv[1], mode = argc > 2 ? argv[2] : "";
    const int number = argc > 3 ? std::atoi(argv[3]) : 0;
    if (mode == "--shares") {
        for (const DType type : {DType::f32, DType::bf16}) cpu::print_shares(configs, type, number > 0 ? number : 64);
        return 0;
    }
    if (mode == "--bound") {
        fmt::print("{:6}{:>8}{:>8}{:>14}{:>12}{:>14}{:>12}{:>12}\n", "type", "tokens", "threads", "ms a step",
                   "GFLOP/s", "sgemm GFLOP/s", "of sgemm", "(processor)");
        for (const int tokens : {64, 1024})
            for (const int threads : {1, omp_get_num_procs()})
                for (const DType type : {DType::f32, DType::bf16})
                    if ((argc <= 4 || std::atoi(argv[4]) == tokens) && (argc <= 5 || std::atoi(argv[5]) == threads))
                        cpu::print_bound(configs, type, tokens, threads, number > 0 ? number : tokens > 64 ? 3 : 9);
        return 0;
    }
    for (const DType type : {DType::f32, DType::bf16})
        benchmark::RegisterBenchmark(
            ("gpt2_124M_train_step/" + std::string(name(type))).c_str(),
            [configs, type](benchmark::State& state) { cpu::train_step(state, configs, type); })
            ->UseManualTime()
            ->Unit(benchmark::kMillisecond);
    benchmark::RunSpecifiedBenchmarks();
}
