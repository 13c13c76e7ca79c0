// Usage: cpu_figures products [HOST.toml] | cpu_figures operators
// The CPU backend's products beside direct calls of oneDNN and OpenBLAS; its operators beside products or a plain copy
// by the same threads, which are then the ceiling. Everything takes turns: medians over the rounds. HOST.toml is this
// host's description, whose stored ceilings are shown; `scripts/cpu_figures` finds it, and adds ranks and ScaLAPACK.
#include <fmt/core.h>
#include <omp.h>

#include <memory>
#include <set>

#include "core/error.hpp"
#include "kernels/bench/figures.hpp"
#include "kernels/bench/operators.hpp"
#include "kernels/bench/yardstick.hpp"
#include "kernels/cpu/gemm_engine.hpp"
#include "kernels/cpu/session.hpp"

namespace wb::cpu {
namespace {

constexpr std::int64_t edge = 2048;
constexpr int rounds = 7;

std::string of_threads(int threads) { return fmt::format("{} thread{}", threads, threads == 1 ? "" : "s"); }

struct Peer {
    double Figure::*rate;
    std::unique_ptr<GemmEngine> engine;
    std::vector<double> seconds, ratio;
};

std::vector<Peer> peers_of(const GemmShape& shape, GemmType type, int threads) {
    using Make = std::unique_ptr<GemmEngine>(const GemmShape&, GemmType, int);
    const std::pair<double Figure::*, Make*> all[] = {{&Figure::onednn, make_onednn_matmul},
                                                      {&Figure::onednn, make_onednn_sgemm},
                                                      {&Figure::openblas, make_openblas_gemm}};
    std::vector<Peer> out;
    for (const auto& [rate, make] : all)
        if (auto engine = make(shape, type, threads)) out.push_back({rate, std::move(engine), {}, {}});
    return out;
}

void product(const std::string& name, GemmType type, int threads, const HostCeilings& host) {
    GemmShape s;
    s.m = s.n = s.k = edge;
    const MatrixSet m(edge, type);
    Gemm ours(s, type, threads);
    std::vector<Peer> peers = peers_of(s, type, threads);
    std::vector<double> mine;
    for (int round = 0; round <= rounds; ++round)
        for (Peer& p : peers) {
            const double theirs_s = times_of([&] { p.engine->run(m.a(), m.b(), nullptr, m.c()); }).wall;
            const double ours_s = times_of([&] { ours(m.a(), m.b(), nullptr, m.c()); }).wall;
            if (round == 0) continue;
            mine.push_back(ours_s);
            p.seconds.push_back(theirs_s);
            p.ratio.push_back(theirs_s / ours_s);
        }
    Figure f{fmt::format("gemm {}", edge), name, of_threads(threads)};
    f.ours = s.flops() / median(mine) / 1e9;
    double best = 0;
    for (const Peer& p : peers) {
        const double rate = s.flops() / median(p.seconds) / 1e9;
        f.*p.rate = std::max(f.*p.rate, rate);
        if (rate > best) best = rate, f.against_best = median(p.ratio);
    }
    f.ceiling = host.of("gemm_" + name, threads);
    f.how = ours.library();
    print(f);
}

/// One operator in turn with the yardstick that bounds it; the ceiling is the yardstick's rate in the same seconds.
template <class Yardstick>
void beside(const Operator& o, DType type, int threads, double amount, const Yardstick& yardstick) {
    const auto comm = single_process();
    Case c;
    c.graph = o.graph;
    c.threads = threads;
    CpuSession session(c, *comm, threads);
    session.run();
    const Paired p = paired(
        rounds, amount, [&] { session.run(); }, yardstick);
    Figure f{o.name, std::string(name(type)), of_threads(threads)};
    f.ours = amount / p.subject_s / 1e9;
    f.ceiling = f.ours * 1e9 / p.of_wall;
    print(f);
}

bool shown(const Operator& o) {
    static const std::set<std::string> names{"attention/2048",
                                             "attention_backward/2048",
                                             "attention/decode_65536",
                                             "matmul/gemv",
                                             "layernorm",
                                             "rmsnorm_backward",
                                             "softmax",
                                             "silu_mul",
                                             "rope/halves",
                                             "embed",
                                             "cross_entropy",
                                             "moe_combine",
                                             "adamw"};
    return names.contains(o.name);
}

void operators_of(DType type, int threads, bool products) {
    GemmYardstick gemm(threads);  // f32: attention computes in it
    const CopyYardstick copy(threads);
    for (const Operator& o : operators(type)) {
        const bool arithmetic = o.matmul_flops > 20 * o.bytes;
        if (!shown(o) || arithmetic != products) continue;
        if (arithmetic)
            beside(o, type, threads, o.matmul_flops, [&] { return gemm.per_flop(); });
        else
            beside(o, type, threads, o.bytes, [&] { return copy.per_byte(); });
    }
}

std::set<int> thread_counts() { return {1, omp_get_num_procs()}; }

void products(const HostCeilings& host) {
    print_head("GFLOP/s");
    for (const int threads : thread_counts()) {
        product("f32", GemmType::f32, threads, host);
        product("bf16", GemmType::bf16, threads, host);
        if (OpenBlas::available()) product("f64", GemmType::f64, threads, host);
    }
}

void all_operators() {
    print_head("GFLOP/s of products");
    for (const int threads : thread_counts())
        for (const DType type : {DType::f32, DType::bf16}) operators_of(type, threads, true);
    print_head("GB/s of copies");
    for (const int threads : thread_counts())
        for (const DType type : {DType::f32, DType::bf16}) operators_of(type, threads, false);
}

}  // namespace
}  // namespace wb::cpu

int main(int argc, char** argv) try {
    using namespace wb::cpu;
    const std::string what = argc > 1 ? argv[1] : "";
    if (what == "products") {
        products(argc > 2 ? HostCeilings(argv[2]) : HostCeilings());
    } else if (what == "operators") {
        all_operators();
    } else {
        fmt::print(stderr, "usage: cpu_figures products [HOST.toml] | cpu_figures operators\n");
        return 2;
    }
    return 0;
} catch (const wb::Error& e) {
    fmt::print(stderr, "cpu_figures: {}\n", e.what());
    return static_cast<int>(e.code());
}
