#include <benchmark/benchmark.h>
#include <fmt/core.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "core/backward.hpp"
#include "core/workload.hpp"
#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/session.hpp"
#include "kernels/workloads/model/model_config.hpp"
#include "kernels/workloads/model/transformer.hpp"

// Usage: train_bench CONFIGS [Google Benchmark's options] | train_bench CONFIGS --shares
// One optimizer step of GPT-2 124M, batch 4 of 64 tokens, beside an sgemm of the same process; CONFIGS is the folder
// configs. --shares prints where the time of a step goes, by kind of op, instead.

namespace wb::cpu {
namespace {

double now_s() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

Case gpt2_step(const std::string& configs, DType type, int threads) {
    auto graph = std::make_shared<Graph>("train");
    build_transformer(*graph, load_model("gpt2", Files({configs})), Pass::train, {4, 64, type});
    add_update(*graph, derive_backward(*graph));
    Case c;
    c.graph = std::move(graph);
    c.threads = threads;
    return c;
}

/// FLOP/s of C = A B with 2048 x 2048 matrices, the best of a few calls.
class Yardstick {
public:
    explicit Yardstick(int threads) : product_(shape(), GemmType::f32, threads) {}

    double rate() {
        double best_s = 1e9;
        for (int i = 0; i < 3; ++i) {
            const double start_s = now_s();
            product_(a_.data(), b_.data(), nullptr, c_.data());
            best_s = std::min(best_s, now_s() - start_s);
        }
        return shape().flops() / best_s;
    }

private:
    static constexpr std::int64_t n = 2048;
    static GemmShape shape() {
        GemmShape s;
        s.m = s.n = s.k = n;
        return s;
    }
    Gemm product_;
    std::vector<float> a_ = std::vector<float>(n * n, 0.5F), b_ = std::vector<float>(n * n, 0.25F), c_ = std::vector<float>(n * n);
};

void train_step(benchmark::State& state, const std::string& configs, DType type) {
    const int threads = omp_get_max_threads();
    const auto comm = single_process();
    CpuSession session(gpt2_step(configs, type, threads), *comm, threads);
    Yardstick yardstick(threads);
    session.run();
    const double flop = session.local().flops().si();
    std::vector<double> ratios, rates;
    for (auto _ : state) {
        const double step_s = session.run().elapsed.si();
        state.SetIterationTime(step_s);
        rates.push_back(flop / step_s);
        ratios.push_back(flop / step_s / yardstick.rate());  // taken in turn: both see the same machine
    }
    const auto median = [](std::vector<double> v) {
        std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
        return v[v.size() / 2];
    };
    state.counters["GFLOP/s"] = median(rates) / 1e9;
    state.counters["of sgemm 2048^3"] = median(ratios);
}

void print_shares(const std::string& configs, DType type) {
    const int threads = omp_get_max_threads();
    const auto comm = single_process();
    CpuSession session(gpt2_step(configs, type, threads), *comm, threads);
    session.run();
    session.time_ops(true);
    std::map<std::string, std::pair<double, int>> by_kind;
    double total_s = 0;
    constexpr int steps = 3;
    for (int i = 0; i < steps; ++i)
        for (const Span& s : session.run().spans)
            if (s.op >= 0) {
                auto& [seconds, calls] = by_kind[std::string(name(session.local().ops()[s.op].kind))];
                seconds += s.duration.si() / steps;
                ++calls;
                total_s += s.duration.si() / steps;
            }
    fmt::print("{} {} threads, {:.1f} ms a step, {:.0f} GFLOP/s ({})\n", name(type), threads, 1e3 * total_s,
               session.local().flops().si() / total_s / 1e9, session.usage().detail);
    for (const auto& [kind, time] : by_kind)
        fmt::print("{:28}{:6} calls{:9.2f} ms{:7.1f} %\n", kind, time.second / steps, 1e3 * time.first, 100 * time.first / total_s);
}

}  // namespace
}  // namespace wb::cpu

int main(int argc, char** argv) {
    using namespace wb;
    benchmark::Initialize(&argc, argv);
    if (argc < 2) {
        fmt::print(stderr, "usage: train_bench CONFIGS [--shares]\n");
        return 1;
    }
    const std::string configs = argv[1];
    if (argc > 2 && std::strcmp(argv[2], "--shares") == 0) {
        for (const DType type : {DType::f32, DType::bf16}) cpu::print_shares(configs, type);
        return 0;
    }
    for (const DType type : {DType::f32, DType::bf16})
        benchmark::RegisterBenchmark(("gpt2_124M_train_step/" + std::string(name(type))).c_str(),
                                     [configs, type](benchmark::State& state) { cpu::train_step(state, configs, type); })
            ->UseManualTime()
            ->Unit(benchmark::kMillisecond);
    benchmark::RunSpecifiedBenchmarks();
}
