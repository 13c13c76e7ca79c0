#include <benchmark/benchmark.h>
#include <dnnl.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "kernels/cpu/attention.hpp"
#include "kernels/cpu/simd.hpp"

/// Rates of the CPU attention beside its yardsticks, in one program: oneDNN's sgemm, a naive attention made of it, and
/// a plain read of memory for decode. flops: 4 S S d a head forward, half where causal, 2.5 times that backward.
namespace {

using namespace wb::cpu;
using Index = std::int64_t;

template <class T>
std::vector<T> filled(Index count, unsigned seed) {
    std::minstd_rand engine(seed);
    std::uniform_real_distribution<float> draw(-1.0F, 1.0F);
    std::vector<T> out(static_cast<std::size_t>(count));
    for (T& x : out) x = from_float<T>(draw(engine));
    return out;
}

AttentionShape dense(Index heads, Index kv_heads, Index seq_q, Index seq_kv, Index dim, bool causal) {
    const Strides q{heads * seq_q * dim, dim, seq_q * dim}, k{kv_heads * seq_kv * dim, dim, seq_kv * dim};
    return {1, heads, kv_heads, seq_q, seq_kv, dim, dim, causal, 0, 1.0F / std::sqrt(static_cast<float>(dim)),
            q, k,     k,        q};
}

double forward_flops(const AttentionShape& s) {
    return 4.0 * static_cast<double>(s.heads * s.seq_q * s.seq_kv * s.head_dim) * (s.causal ? 0.5 : 1.0);
}

void rate(benchmark::State& state, double flops) {
    state.counters["flop/s"] =
        benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate, benchmark::Counter::kIs1000);
}

/// Arguments: sequence, head size, causal, threads.
template <class T>
void forward(benchmark::State& state) {
    const AttentionShape s = dense(2, 2, state.range(0), state.range(0), state.range(1), state.range(2) != 0);
    const Index count = s.heads * s.seq_q * s.head_dim;
    const auto q = filled<T>(count, 1), k = filled<T>(count, 2), v = filled<T>(count, 3);
    std::vector<T> o(q.size());
    for (auto _ : state)
        attention_forward<T>(s, q.data(), k.data(), v.data(), o.data(), nullptr, static_cast<int>(state.range(3)));
    rate(state, forward_flops(s));
}

template <class T>
void backward(benchmark::State& state) {
    const AttentionShape s = dense(2, 2, state.range(0), state.range(0), state.range(1), state.range(2) != 0);
    const Index count = s.heads * s.seq_q * s.head_dim;
    const auto q = filled<T>(count, 1), k = filled<T>(count, 2), v = filled<T>(count, 3), d_o = filled<T>(count, 4);
    std::vector<T> o(q.size()), dq(q.size()), dk(q.size()), dv(q.size());
    std::vector<float> lse(static_cast<std::size_t>(s.heads * s.seq_q));
    const int threads = static_cast<int>(state.range(3));
    attention_forward<T>(s, q.data(), k.data(), v.data(), o.data(), lse.data(), threads);
    for (auto _ : state)
        attention_backward<T>(s, q.data(), k.data(), v.data(), o.data(), lse.data(), d_o.data(), dq.data(), dk.data(),
                              dv.data(), threads);
    rate(state, 2.5 * forward_flops(s));
}

/// The peer: scores = q k^T by oneDNN, softmax row by row in plain loops (libmvec is not used: std::exp stays scalar),
/// o = scores v by oneDNN; a causal mask saves it nothing. Arguments as forward.
void naive(benchmark::State& state) {
    const AttentionShape s = dense(2, 2, state.range(0), state.range(0), state.range(1), state.range(2) != 0);
    const Index n = s.seq_q, d = s.head_dim, each = n * d;
    const auto q = filled<float>(s.heads * each, 1), k = filled<float>(s.heads * each, 2);
    const auto v = filled<float>(s.heads * each, 3);
    std::vector<float> o(q.size()), scores(static_cast<std::size_t>(n * n));
    const int threads = static_cast<int>(state.range(3));
    omp_set_num_threads(threads);
    for (auto _ : state)
        for (Index h = 0; h < s.heads; ++h) {
            dnnl_sgemm('N', 'T', n, n, d, s.scale, q.data() + h * each, d, k.data() + h * each, d, 0.0F, scores.data(),
                       n);
#pragma omp parallel for num_threads(threads)
            for (Index i = 0; i < n; ++i) {
                float* row = scores.data() + i * n;
                const Index seen = s.causal ? i + 1 : n;
                const float high = *std::max_element(row, row + seen);
                float total = 0.0F;
                for (Index j = 0; j < seen; ++j) total += row[j] = std::exp(row[j] - high);
                for (Index j = 0; j < seen; ++j) row[j] /= total;
                std::fill(row + seen, row + n, 0.0F);
            }
            dnnl_sgemm('N', 'N', n, d, n, 1.0F, scores.data(), n, v.data() + h * each, d, 0.0F, o.data() + h * each, d);
        }
    rate(state, forward_flops(s));
}

/// The yardstick of compute: a square product. Arguments: size, threads.
void gemm(benchmark::State& state) {
    const Index n = state.range(0);
    const auto a = filled<float>(n * n, 1), b = filled<float>(n * n, 2);
    std::vector<float> c(a.size());
    omp_set_num_threads(static_cast<int>(state.range(1)));
    for (auto _ : state) dnnl_sgemm('N', 'N', n, n, n, 1.0F, a.data(), n, b.data(), n, 0.0F, c.data(), n);
    rate(state, 2.0 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n));
}

/// One new token against `seq` cached ones. Arguments: seq, head size, heads a kv head, threads. 8 kv heads.
template <class T>
void decode(benchmark::State& state) {
    constexpr Index kv_heads = 8;
    const AttentionShape s = dense(kv_heads * state.range(2), kv_heads, 1, state.range(0), state.range(1), true);
    const auto q = filled<T>(s.heads * s.head_dim, 1), k = filled<T>(kv_heads * s.seq_kv * s.head_dim, 2);
    const auto v = filled<T>(kv_heads * s.seq_kv * s.head_dim, 3);
    std::vector<T> o(q.size());
    for (auto _ : state)
        attention_forward<T>(s, q.data(), k.data(), v.data(), o.data(), nullptr, static_cast<int>(state.range(3)));
    state.SetBytesProcessed(state.iterations() * static_cast<Index>(2 * k.size() * sizeof(T)));
}

/// The yardstick of decode: as many bytes read once, in 4 chains a thread. Arguments: bytes, threads.
void read_memory(benchmark::State& state) {
    constexpr Index chunk = 4 * simd::width;
    const auto x = filled<float>(state.range(0) / 4, 1);
    const Index chunks = static_cast<Index>(x.size()) / chunk;
    const int threads = static_cast<int>(state.range(1));
    for (auto _ : state) {
        float total = 0.0F;
#pragma omp parallel num_threads(threads) reduction(+ : total)
        {
            simd::Vec sum[4] = {};
#pragma omp for schedule(static)
            for (Index i = 0; i < chunks; ++i)
                for (int lane = 0; lane < 4; ++lane) sum[lane] += simd::load(x.data() + i * chunk + lane * simd::width);
            total += simd::sum(sum[0] + sum[1] + sum[2] + sum[3]);
        }
        benchmark::DoNotOptimize(total);
    }
    state.SetBytesProcessed(state.iterations() * state.range(0));
}

constexpr auto unit = benchmark::kMillisecond;

}  // namespace

BENCHMARK(gemm)->ArgsProduct({{2048}, {1, 2}})->UseRealTime()->Unit(unit);
BENCHMARK(forward<float>)->ArgsProduct({{512, 2048, 4096, 8192}, {64, 128}, {0, 1}, {1, 2}})->UseRealTime()->Unit(unit);
BENCHMARK(forward<bf16>)->ArgsProduct({{4096}, {64, 128}, {1}, {1, 2}})->UseRealTime()->Unit(unit);
BENCHMARK(naive)->ArgsProduct({{8192}, {64, 128}, {0, 1}, {1, 2}})->UseRealTime()->Unit(unit);
BENCHMARK(backward<float>)->ArgsProduct({{1024, 4096}, {64, 128}, {0, 1}, {1, 2}})->UseRealTime()->Unit(unit);
BENCHMARK(backward<bf16>)->ArgsProduct({{4096}, {128}, {1}, {1, 2}})->UseRealTime()->Unit(unit);
BENCHMARK(read_memory)->ArgsProduct({{Index{1} << 30}, {1, 2}})->UseRealTime()->Unit(unit);
BENCHMARK(decode<float>)->ArgsProduct({{131072}, {128}, {1, 8}, {1, 2}})->UseRealTime()->Unit(unit);
BENCHMARK(decode<bf16>)->ArgsProduct({{131072}, {128}, {1, 8}, {1, 2}})->UseRealTime()->Unit(unit);

BENCHMARK_MAIN();
