#include <benchmark/benchmark.h>
#include <fmt/core.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <set>

#include "kernels/cpu/bf16.hpp"
#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/gemm_engine.hpp"
#include "kernels/cpu/openblas.hpp"

// Usage: gemm_bench [Google Benchmark's options] | gemm_bench --paired | gemm_bench --core-types
// Paired: our choice and each library called directly take turns; the median of the ratios of neighbours is printed.
// Core types: OpenBLAS tuned for each processor it might take this one for, a process each; exit code 1 if the type we
// ask for is not within 10 % of the fastest.

namespace wb::cpu {

namespace {

using Clock = std::chrono::steady_clock;

struct Product {
    std::string name;
    GemmShape shape;
    GemmType type;
};

std::vector<Product> products() {
    const auto f32 = GemmType::f32, bf = GemmType::bf16, f64 = GemmType::f64;
    std::vector<Product> all = {{"f32/2048", {2048, 2048, 2048}, f32},
                                {"bf16/2048", {2048, 2048, 2048}, bf},
                                {"f64/1024", {1024, 1024, 1024}, f64}};
    struct Layer {
        std::string name;
        std::int64_t k, n;
    };
    for (const auto& [name, k, n] :
         {Layer{"proj", 768, 768}, {"fc", 768, 3072}, {"fc2", 3072, 768}, {"head", 768, 50257}}) {
        for (const auto type : {f32, bf}) {
            const std::string prefix = (type == f32 ? "f32/gpt2_" : "bf16/gpt2_") + name;
            all.push_back({prefix + "_y_kn", {256, n, k}, type});
            all.push_back({prefix + "_y_nk", {256, n, k, 1, false, true}, type});
            all.push_back({prefix + "_dx_kn", {256, k, n, 1, false, true}, type});
            all.push_back({prefix + "_dx_nk", {256, k, n}, type});
            all.push_back({prefix + "_dw_kn", {k, n, 256, 1, true, false}, type});
            all.push_back({prefix + "_dw_nk", {n, k, 256, 1, true, false}, type});
        }
    }
    for (const std::int64_t m : {1, 2, 4, 8}) {
        for (const auto type : {f32, bf}) {
            const std::string prefix = fmt::format("{}/gemv{}", type == f32 ? "f32" : "bf16", m);
            all.push_back({prefix + "_kn", {m, 50257, 768}, type});
            all.push_back({prefix + "_nk", {m, 50257, 768, 1, false, true}, type});
        }
    }
    return all;
}

struct Operands {
    std::vector<char> a, b, c;

    Operands(const GemmShape& s, GemmType type) {
        const Extents count = extents(s);
        const ElementSizes size = element_sizes(type);
        a.resize(std::size_t(count.a) * size.in);
        b.resize(std::size_t(count.b) * size.in);
        c.resize(std::size_t(count.c) * size.out);
        for (auto* to : {&a, &b}) fill(*to, type);
    }
    static void fill(std::vector<char>& to, GemmType type) {
        for (std::size_t i = 0; i * element_sizes(type).in < to.size(); ++i) {
            const double x = double(i % 251) / 251 - 0.5;
            if (type == GemmType::f64)
                reinterpret_cast<double*>(to.data())[i] = x;
            else if (type == GemmType::f32)
                reinterpret_cast<float*>(to.data())[i] = float(x);
            else
                reinterpret_cast<bf16*>(to.data())[i] = to_bf16(float(x));
        }
    }
};

struct Peer {
    std::string name;
    GemmFactory make;
};

std::vector<Peer> peers() {
    return {{"onednn_matmul", make_onednn_matmul}, {"onednn_sgemm", make_onednn_sgemm},
            {"openblas", make_openblas_gemm},      {"gemv", make_gemv},
            {"widened", make_widened_gemm},        {"turned", make_turned_gemm}};
}

std::set<int> thread_counts() { return {1, omp_get_num_procs()}; }

void report(benchmark::State& state, const Product& p) {
    state.counters["GFLOP/s"] =
        benchmark::Counter(p.shape.flops() * 1e-9 * double(state.iterations()), benchmark::Counter::kIsRate);
    const auto bytes = extents(p.shape);
    const auto size = element_sizes(p.type);
    state.SetBytesProcessed(state.iterations() *
                            std::int64_t(std::size_t(bytes.a + bytes.b) * size.in + std::size_t(bytes.c) * size.out));
}

void run_ours(benchmark::State& state, const Product& p, int threads) {
    Operands o(p.shape, p.type);
    Gemm gemm(p.shape, p.type, threads);
    for (auto _ : state) gemm(o.a.data(), o.b.data(), nullptr, o.c.data());
    state.SetLabel(gemm.library());
    report(state, p);
}

void run_peer(benchmark::State& state, const Product& p, const Peer& peer, int threads) {
    Operands o(p.shape, p.type);
    const auto engine = peer.make(p.shape, p.type, threads);
    if (!engine) return state.SkipWithError("not computed by this library");
    for (auto _ : state) engine->run(o.a.data(), o.b.data(), nullptr, o.c.data());
    state.SetLabel(engine->library());
    report(state, p);
}

void register_all() {
    for (const Product& p : products()) {
        for (const int threads : thread_counts()) {
            const auto name = [&](const std::string& who) {
                return fmt::format("{}/{}/threads:{}", p.name, who, threads);
            };
            const auto add = [&](const std::string& who, auto&& body) {
                benchmark::RegisterBenchmark(name(who).c_str(), body)->UseRealTime()->Unit(benchmark::kMicrosecond);
            };
            add("ours", [p, threads](benchmark::State& s) { run_ours(s, p, threads); });
            for (const Peer& peer : peers()) {
                if (!peer.make({8, 8, 8}, p.type, 1)) continue;
                if (peer.make == make_gemv && std::min(p.shape.m, p.shape.n) > 8) continue;
                add(peer.name, [p, peer, threads](benchmark::State& s) { run_peer(s, p, peer, threads); });
            }
        }
    }
}

double seconds_of(const std::function<void()>& body) {
    const auto start = Clock::now();
    body();
    return std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> v) {
    std::nth_element(v.begin(), v.begin() + std::ptrdiff_t(v.size() / 2), v.end());
    return v[v.size() / 2];
}

/// Sums B with the same threads: the rate at which these operands can be read at all.
double read_sum(const std::vector<char>& bytes, int threads) {
    const auto* words = reinterpret_cast<const std::uint32_t*>(bytes.data());
    const auto count = std::int64_t(bytes.size() / 4);
    std::uint32_t sum = 0;
#pragma omp parallel for simd num_threads(threads) reduction(+ : sum) schedule(static)
    for (std::int64_t i = 0; i < count; ++i) sum += words[i];
    return sum;
}

void pair(const Product& p, int threads) {
    Operands o(p.shape, p.type);
    Gemm gemm(p.shape, p.type, threads);
    const auto ours = [&] { gemm(o.a.data(), o.b.data(), nullptr, o.c.data()); };
    ours();
    const int rounds = std::clamp(int(0.4 / std::max(seconds_of(ours), 1e-6)), 9, 101);
    std::vector<std::pair<std::string, std::function<void()>>> field;
    std::vector<std::shared_ptr<GemmEngine>> engines;
    for (const Peer& peer : peers()) {
        engines.emplace_back(peer.make(p.shape, p.type, threads));
        if (!engines.back()) continue;
        field.emplace_back(peer.name,
                           [&o, e = engines.back()] { e->run(o.a.data(), o.b.data(), nullptr, o.c.data()); });
    }
    if (std::min(p.shape.m, p.shape.n) <= 8)
        field.emplace_back("read_B", [&] { benchmark::DoNotOptimize(read_sum(o.b, threads)); });
    std::vector<double> mine;
    std::vector<std::vector<double>> ratios(field.size());
    for (int round = 0; round < rounds; ++round) {
        for (std::size_t i = 0; i < field.size(); ++i) {
            const double theirs_s = seconds_of(field[i].second);
            const double ours_s = seconds_of(ours);
            if (round == 0) continue;
            mine.push_back(ours_s);
            ratios[i].push_back(theirs_s / ours_s);
        }
    }
    const double typical_s = median(mine);
    fmt::print("{:24} threads {} {:8.1f} GFLOP/s {:9.1f} us  {}\n", p.name, threads, p.shape.flops() / typical_s * 1e-9,
               typical_s * 1e6, gemm.library());
    for (std::size_t i = 0; i < field.size(); ++i)
        fmt::print("    speed against {:14} {:6.3f}\n", field[i].first, median(ratios[i]));
}

void pair_all(const std::string& filter) {
    for (const Product& p : products()) {
        if (p.name.find(filter) == std::string::npos) continue;
        if (p.type == GemmType::f64 && !OpenBlas::available()) continue;
        for (const int threads : thread_counts()) pair(p, threads);
    }
}

/// GFLOP/s of square products by OpenBLAS as it was loaded, f64 and f32, one thread: the best of several.
int print_openblas_rates() {
    for (const auto type : {GemmType::f64, GemmType::f32}) {
        const Product p{"", {1024, 1024, 1024}, type};
        Operands o(p.shape, p.type);
        const auto engine = make_openblas_gemm(p.shape, p.type, 1);
        double best_s = 1e9;
        for (int i = 0; i < 15; ++i)
            best_s = std::min(best_s, seconds_of([&] { engine->run(o.a.data(), o.b.data(), nullptr, o.c.data()); }));
        fmt::print("{:.1f} ", p.shape.flops() / best_s * 1e-9);
    }
    fmt::print("{}\n", OpenBlas::instance().name());
    return 0;
}

struct Rates {
    double f64 = 0, f32 = 0;
};
/// In a process of its own, for the type counts while the library is loaded only.
Rates rates_as(const std::string& core_type) {
    Rates out;
    const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
    FILE* const pipe =
        popen(fmt::format("WB_OPENBLAS_CORETYPE={} '{}' --openblas-rates", core_type, self).c_str(), "r");
    char name[128] = {};
    if (pipe && std::fscanf(pipe, "%lf %lf %127[^\n]", &out.f64, &out.f32, name) == 3)
        fmt::print("{:12} f64 {:7.1f} GFLOP/s  f32 {:7.1f} GFLOP/s  {}\n", core_type, out.f64, out.f32, name);
    if (pipe) pclose(pipe);
    return out;
}

int compare_core_types() {
    Rates best, ours;
    for (const std::string type : {"SkylakeX", "Cooperlake", "SapphireRapids", "Zen", "Haswell"}) {
        const Rates r = rates_as(type);
        best = {std::max(best.f64, r.f64), std::max(best.f32, r.f32)};
        if (type == openblas_core_type()) ours = r;
    }
    fmt::print("asked for here: {}\n", openblas_core_type());
    return ours.f64 >= 0.9 * best.f64 && ours.f32 >= 0.9 * best.f32 ? 0 : 1;
}

}  // namespace

}  // namespace wb::cpu

int main(int argc, char** argv) {
    if (argc == 2 && std::strcmp(argv[1], "--openblas-rates") == 0) return wb::cpu::print_openblas_rates();
    if (argc == 2 && std::strcmp(argv[1], "--core-types") == 0) return wb::cpu::compare_core_types();
    if (argc >= 2 && std::strcmp(argv[1], "--paired") == 0) {
        wb::cpu::pair_all(argc > 2 ? argv[2] : "");
        return 0;
    }
    wb::cpu::register_all();
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    benchmark::RunSpecifiedBenchmarks();
}
