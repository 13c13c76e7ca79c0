#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/backward.hpp"
#include "core/element.hpp"
#include "core/error.hpp"
#include "harness/mpi_comm.hpp"
#include "kernels/bench/slow_link.hpp"
#include "kernels/bench/yardstick.hpp"
#include "kernels/cpu/distributed_gemm.hpp"
#include "kernels/cpu/session.hpp"
#include "kernels/workloads/model/transformer.hpp"

// Usage: OMP_NUM_THREADS=1 mpirun -n 4 ranks_bench [Google Benchmark's options]
// What ranks do together: collectives of f32, products by SUMMA, Cannon and 2.5-D, and layers of a transformer cut by
// heads, one thread a rank; the layers with sums over the ranks waited for, begun beside the computation, and whichever
// was faster in a trial, between these ranks and as if over a link of 0.3 GB/s that needs no processor: "exposed" is
// the share of a run that a rank spends inside calls. Every call begins together, the slowest rank's time counts.
// Counters: bytes_per_second of the buffer as nccl-tests counts it; FLOP/s, additions included; "of ceiling": of a
// plain copy of the buffer in every rank at once, of the ranks' own products side by side. Started alone it measures
// one rank, which sends nothing.

namespace wb::cpu {
namespace {

/// For all ranks but the first.
class Silent final : public benchmark::BenchmarkReporter {
public:
    bool ReportContext(const Context&) override { return true; }
    void ReportRuns(const std::vector<Run>&) override {}
};

/// Iterations are counted beforehand: each rank must take part in as many.
void timed(benchmark::State& state, Comm& comm, const std::function<void()>& call) {
    call();
    for (auto _ : state) {
        comm.barrier();
        const double start = now_s();
        call();
        state.SetIterationTime(comm.max(now_s() - start));
    }
}

benchmark::Counter rate(double amount) { return {amount, benchmark::Counter::kIsIterationInvariantRate}; }

struct Collective {
    const char* name;
    std::function<void(Comm&, const float*, float*, std::int64_t)> run;  ///< of a buffer of so many elements
    bool adds;
};

std::vector<Collective> collectives() {
    constexpr DType t = DType::f32;
    return {{"allreduce", [](Comm& c, auto* in, auto* out, auto n) { c.allreduce(in, out, n, t); }, true},
            {"reduce_scatter", [](Comm& c, auto* in, auto* out, auto n) { c.reduce_scatter(in, out, n / c.size(), t); },
             true},
            {"allgather", [](Comm& c, auto* in, auto* out, auto n) { c.allgather(in, out, n / c.size(), t); }, false},
            {"alltoall", [](Comm& c, auto* in, auto* out, auto n) { c.alltoall(in, out, n / c.size(), t); }, false},
            {"broadcast", [](Comm& c, auto*, auto* out, auto n) { c.broadcast(out, n, t, 0); }, false},
            {"send_recv", [](Comm& c, auto* in, auto* out, auto n) { c.shift(in, out, n, t); }, false}};
}

void add_collectives(Comm& comm, double copy_byte_s) {
    for (const Collective& what : collectives())
        for (const std::int64_t bytes : {1 << 10, 1 << 16, 1 << 22, 1 << 25}) {
            const auto body = [&comm, what, bytes, copy_byte_s](benchmark::State& state) {
                Buffer in(bytes), out(bytes);
                in.fill(0, 1);
                out.fill(0, 1);
                const std::int64_t n = bytes / 4;
                timed(state, comm, [&] {
                    what.run(comm, reinterpret_cast<const float*>(in.data()), reinterpret_cast<float*>(out.data()), n);
                });
                state.SetBytesProcessed(state.iterations() * bytes);
                if (what.adds) state.counters["FLOP/s"] = rate(static_cast<double>(n) * (comm.size() - 1));
                state.counters["of ceiling"] = rate(2 * static_cast<double>(bytes) * copy_byte_s);
            };
            benchmark::RegisterBenchmark(fmt::format("{}/{}/ranks:{}", what.name, bytes, comm.size()).c_str(), body)
                ->UseManualTime()
                ->Iterations(bytes > 1 << 20 ? 20 : 500)
                ->Unit(benchmark::kMicrosecond);
        }
}

void multiply(benchmark::State& state, Comm& comm, Spread spread, DType type, double flop_s) {
    constexpr std::int64_t edge = 2048;
    const DistributedShape s{edge, edge, edge, type};
    const RankGrid g = grids_of(spread, comm.size(), edge, edge, edge).front();
    const auto product = spread == Spread::cannon ? make_cannon(s, g, comm, 1) : make_summa(s, g, 256, comm, 1);
    std::vector<Buffer> patches;
    double bytes = 0;
    for (const Patch& p : {product->a(), product->b(), product->c()}) {
        patches.emplace_back(p.elements() * stored_bytes(type));
        patches.back().fill(0, 1);
        bytes += static_cast<double>(product->holds() ? patches.back().bytes() : 0);
    }
    timed(state, comm, [&] { product->run(patches[0].data(), patches[1].data(), patches[2].data()); });
    const double flops = 2.0 * edge * edge * edge;
    state.counters["FLOP/s"] = rate(flops);
    state.counters["of ceiling"] = rate(flops * flop_s);
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes));
    state.SetLabel(fmt::format("{}, {}", g.text(), product->library()));
}

void add_products(Comm& comm) {
    for (const DType type : {DType::f32, DType::f64}) {
        comm.barrier();
        const double mine_s = GemmYardstick(1, type == DType::f64 ? GemmType::f64 : GemmType::f32).per_flop().wall;
        double all = 1 / mine_s;
        comm.allreduce(&all, &all, 1, DType::f64);
        for (const Spread spread : {Spread::summa, Spread::cannon, Spread::layered}) {
            if (grids_of(spread, comm.size(), 2048, 2048, 2048).empty()) continue;
            const auto body = [&comm, spread, type, flop_s = 1 / all](benchmark::State& state) {
                multiply(state, comm, spread, type, flop_s);
            };
            const std::string what = fmt::format("gemm/{}/{}/ranks:{}", name(spread), wb::name(type), comm.size());
            benchmark::RegisterBenchmark(what.c_str(), body)
                ->UseManualTime()
                ->Iterations(7)
                ->Unit(benchmark::kMillisecond);
        }
    }
}

/// Two layers as GPT-2 medium has them, and a small vocabulary: what is measured is the layers.
Case layers(bool train, int ranks, const std::string& word) {
    ModelConfig m;
    m.type = "gpt2";
    m.hidden = 1024, m.layers = 2, m.heads = m.kv_heads = 16, m.head_dim = m.v_head_dim = 64, m.ffn = 4096;
    m.vocab = 512, m.positions = 512;
    m.learned_positions = m.qkv_bias = m.out_bias = m.mlp_bias = true;
    m.windows = {0};
    auto graph = std::make_shared<Graph>(train ? "train" : "prefill");
    build_transformer(*graph, m, train ? Pass::train : Pass::prefill, {1, 512, DType::f32});
    if (train) derive_backward(*graph);
    Case c;
    c.graph = std::move(graph);
    c.mapping.tensor = ranks;
    c.mapping.algorithm = word;
    return c;
}

void run_layers(benchmark::State& state, Comm& ranks, bool train, const std::string& word, bool linked, double flop_s) {
    SlowLink link(ranks, 0.3e9);
    Comm& comm = linked ? static_cast<Comm&>(link) : ranks;
    CpuSession session(layers(train, comm.size(), word), comm, 1);
    session.run();
    double elapsed = 0, exposed = 0, in_calls = 0;
    for (auto _ : state) {
        comm.barrier();
        const double mine_s = session.run().elapsed.si();
        for (const CommUse& u : session.communication()) {
            exposed += u.exposed.si();
            in_calls += u.time.si();
        }
        elapsed += mine_s;
        state.SetIterationTime(comm.max(mine_s));
    }
    double flops = session.local().flops().si(), all = 0;
    comm.allreduce(&flops, &all, 1, DType::f64);
    state.counters["FLOP/s"] = rate(all);
    state.counters["of ceiling"] = rate(all * flop_s);
    state.counters["exposed"] = comm.max(exposed / elapsed);
    state.counters["sums"] = comm.max(in_calls / elapsed);
    state.SetLabel(session.usage().detail);
}

void add_layers(Comm& comm) {
    comm.barrier();
    double all = 1 / GemmYardstick(1, GemmType::f32).per_flop().wall;
    comm.allreduce(&all, &all, 1, DType::f64);
    for (const bool linked : {false, true})
        for (const bool train : {false, true})
            for (const std::string word : {"blocking", "overlapped", ""}) {
                const auto body = [&comm, train, word, linked, flop_s = 1 / all](benchmark::State& state) {
                    run_layers(state, comm, train, word, linked, flop_s);
                };
                const std::string what =
                    fmt::format("layers/{}/{}/{}ranks:{}", train ? "train" : "prefill", word.empty() ? "chosen" : word,
                                linked ? "link:0.3GBps/" : "", comm.size());
                benchmark::RegisterBenchmark(what.c_str(), body)
                    ->UseManualTime()
                    ->Iterations(9)
                    ->Unit(benchmark::kMillisecond);
            }
}

}  // namespace
}  // namespace wb::cpu

int main(int argc, char** argv) try {
    using namespace wb;
    const auto comm = world(argc, argv);
    comm->barrier();
    const double copy_byte_s = comm->max(cpu::CopyYardstick(1).per_byte().wall);
    cpu::add_collectives(*comm, copy_byte_s);
    cpu::add_products(*comm);
    cpu::add_layers(*comm);
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    cpu::Silent silent;
    if (comm->rank() == 0)
        benchmark::RunSpecifiedBenchmarks();
    else
        benchmark::RunSpecifiedBenchmarks(&silent);
} catch (const wb::Error& e) {
    fmt::print(stderr, "ranks_bench: {}\n", e.what());
    return static_cast<int>(e.code());
}
