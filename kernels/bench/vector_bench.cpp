#include <benchmark/benchmark.h>
#include <fmt/core.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "kernels/cpu/vector_ops.hpp"

// Usage: vector_bench [Google Benchmark's options] | vector_bench --paired
// Paired: each operator takes turns with a plain copy on the same threads; the median of the neighbours' ratios is
// printed, and the best of each against the other, which a busy machine disturbs less.

namespace wb::cpu {

namespace {

constexpr std::int64_t rows = 4096, cols = 2048, n = rows * cols;

/// Operands too large for a core's caches, shared by all operators of one type.
template <class T>
struct Arena {
    std::vector<T> a = filled(n), b = filled(n), c = filled(n), d = std::vector<T>(n), e = std::vector<T>(n);
    std::vector<T> gamma = filled(cols);
    std::vector<float> mean = std::vector<float>(rows), inv = std::vector<float>(rows, 1.0F),
                       sums = std::vector<float>(2 * cols);
    std::vector<float> f32 = std::vector<float>(n, 0.5F), first = std::vector<float>(n, 0.1F),
                       second = std::vector<float>(n, 0.1F);

    static std::vector<T> filled(std::int64_t count) {
        std::vector<T> out(static_cast<std::size_t>(count));
        for (std::size_t i = 0; i < out.size(); ++i) out[i] = from_float<T>(float(i % 251) / 50 - 2.5F);
        return out;
    }
};

struct Operator {
    std::string name;
    double bytes;  ///< that must be read and written, each once
    std::function<void(int threads)> run;
};

template <class T>
void copy(const T* from, T* to, std::int64_t count, int threads) {
#pragma omp parallel num_threads(threads)
    {
        const std::int64_t me = omp_get_thread_num(), all = omp_get_num_threads();
        const std::int64_t begin = count * me / all, end = count * (me + 1) / all;
        std::memcpy(to + begin, from + begin, std::size_t(end - begin) * sizeof(T));
    }
}

template <class T>
std::vector<Operator> operators(Arena<T>& o) {
    const double array = double(n) * sizeof(T);
    T *a = o.a.data(), *b = o.b.data(), *c = o.c.data(), *d = o.d.data(), *e = o.e.data(), *g = o.gamma.data();
    float *mean = o.mean.data(), *inv = o.inv.data(), *sums = o.sums.data();
    std::vector<Operator> all = {
        {"copy", 2 * array, [=](int t) { copy(a, d, n, t); }},
        {"softmax", 2 * array, [=](int t) { softmax(a, d, rows, cols, 0.125F, t); }},
        {"layernorm", 2 * array, [=](int t) { layernorm(a, g, g, d, mean, inv, rows, cols, 1e-5F, t); }},
        {"layernorm_backward", 3 * array,
         [=](int t) { layernorm_backward(a, g, mean, inv, b, d, sums, sums + cols, rows, cols, t); }},
        {"rmsnorm", 2 * array, [=](int t) { rmsnorm(a, g, d, inv, rows, cols, 1e-5F, t); }},
        {"rmsnorm_backward", 3 * array, [=](int t) { rmsnorm_backward(a, g, inv, b, d, sums, rows, cols, t); }},
        {"gelu_tanh", 2 * array, [=](int t) { gelu(a, d, n, GeluForm::tanh, t); }},
        {"gelu_tanh_backward", 3 * array, [=](int t) { gelu_backward(a, b, d, n, GeluForm::tanh, t); }},
        {"gelu_erf", 2 * array, [=](int t) { gelu(a, d, n, GeluForm::erf, t); }},
        {"gelu_erf_backward", 3 * array, [=](int t) { gelu_backward(a, b, d, n, GeluForm::erf, t); }},
        {"silu_mul", 3 * array, [=](int t) { silu_mul(a, b, d, n, t); }},
        {"silu_mul_backward", 5 * array, [=](int t) { silu_mul_backward(a, b, c, d, e, n, t); }},
        {"add", 3 * array, [=](int t) { add(a, b, d, n, t); }},
        {"sum_rows", array, [=](int t) { sum_rows(a, sums, rows, cols, t); }}};
    float *p = o.f32.data(), *m = o.first.data(), *v = o.second.data();
    if constexpr (sizeof(T) == 4)
        all.push_back({"adamw", 28.0 * n, [=](int t) { adamw(p, a, m, v, n, {}, t); }});
    else
        all.push_back({"adamw", 28.0 * n, [=](int t) { adamw(p, a, m, v, d, n, {}, t); }});
    return all;
}

double median(std::vector<double> v) {
    std::nth_element(v.begin(), v.begin() + std::ptrdiff_t(v.size() / 2), v.end());
    return v[v.size() / 2];
}

double seconds_of(const Operator& what, int threads) {
    const auto start = std::chrono::steady_clock::now();
    what.run(threads);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

template <class T>
void pair_all(const std::string& type, int threads) {
    Arena<T> arena;
    const auto all = operators(arena);
    for (const Operator& what : all) {
        std::vector<double> rates, copies, shares;
        for (int round = 0; round < 12; ++round) {
            const double copy_rate = all.front().bytes / seconds_of(all.front(), threads);
            const double rate = what.bytes / seconds_of(what, threads);
            if (round == 0) continue;
            rates.push_back(rate);
            copies.push_back(copy_rate);
            shares.push_back(rate / copy_rate);
        }
        fmt::print("{:5} {:24} threads {} {:7.2f} GB/s  {:5.2f} of copy   best {:7.2f} GB/s {:5.2f}\n", type, what.name,
                   threads, median(rates) * 1e-9, median(shares), *std::ranges::max_element(rates) * 1e-9,
                   *std::ranges::max_element(rates) / *std::ranges::max_element(copies));
    }
}

template <class T>
void register_all(const std::string& type, int threads, Arena<T>& arena) {
    for (const Operator& what : operators(arena)) {
        benchmark::RegisterBenchmark(fmt::format("{}/{}/threads:{}", type, what.name, threads).c_str(),
                                     [what, threads](benchmark::State& state) {
                                         for (auto _ : state) what.run(threads);
                                         state.SetBytesProcessed(std::int64_t(what.bytes) * state.iterations());
                                     })
            ->UseRealTime()
            ->Unit(benchmark::kMicrosecond);
    }
}

}  // namespace

}  // namespace wb::cpu

int main(int argc, char** argv) {
    using namespace wb::cpu;
    const std::set<int> thread_counts = {1, omp_get_num_procs()};
    if (argc == 2 && std::strcmp(argv[1], "--paired") == 0) {
        for (const int threads : thread_counts) {
            pair_all<float>("f32", threads);
            pair_all<bf16>("bf16", threads);
        }
        return 0;
    }
    Arena<float> f32;
    Arena<bf16> half;
    for (const int threads : thread_counts) {
        register_all<float>("f32", threads, f32);
        register_all<bf16>("bf16", threads, half);
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    benchmark::RunSpecifiedBenchmarks();
}
