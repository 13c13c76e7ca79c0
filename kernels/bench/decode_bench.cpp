#include <fmt/core.h>
#include <omp.h>

#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "kernels/bench/yardstick.hpp"
#include "kernels/cpu/session.hpp"
#include "kernels/workloads/model/inline_model.hpp"
#include "kernels/workloads/model/transformer.hpp"

// Usage: decode_bench [CACHED [TOKENS [MODEL]]] | decode_bench --shares
// One sequence generates token after token with CACHED (128) tokens in its cache: the bytes of weights and cache that a
// token needs, divided by its time, beside a plain read of memory by the same threads in the same seconds. MODEL is a
// shape as the workloads take it; without one, that of Llama 3.2 1B (its embedding and head untied, which costs memory
// but no time: of the embedding one row is read).

namespace wb::cpu {
namespace {

constexpr const char* llama_1b = "{hidden=2048,layers=16,heads=32,kv_heads=8,ffn=8192,vocab=128256,gated=1}";

Case decode(const std::string& model, DType type, std::int64_t cached, int threads) {
    auto graph = std::make_shared<Graph>("decode");
    build_transformer(*graph, inline_model(model), Pass::decode, {1, cached, type});
    Case c;
    c.graph = std::move(graph);
    c.threads = threads;
    return c;
}

/// Of all weights but the embedding, of which a token reads one row, and of the caches.
double bytes_read(const Graph& g) {
    double bytes = 0;
    for (std::size_t i = 0; i < g.tensors().size(); ++i) {
        const Tensor& t = g.tensors()[i];
        const TensorId id = tensor_id(i);
        const bool embedding = t.name == "embed.weight";
        if (!embedding && (t.role == Role::weight || t.role == Role::state))
            bytes += g.bytes(id).si() * static_cast<double>(g.instances(id));
    }
    return bytes;
}

struct Setting {
    std::string model = llama_1b;
    std::int64_t cached = 128;
    int tokens = 15;
};

void print_bound(const Setting& s, DType type, int threads) {
    const auto comm = single_process();
    CpuSession session(decode(s.model, type, s.cached, threads), *comm, threads);
    const ReadYardstick yardstick(threads);
    const double bytes = bytes_read(session.local());
    const Paired p = paired(
        s.tokens, bytes, [&] { session.run(); }, [&] { return yardstick.per_byte(); });
    fmt::print("{:6}{:8}{:12.2f}{:12.1f}{:12.2f}{:12.1f}{:14.1f}{:12.3f}{:12.3f}\n", name(type), threads, bytes / 1e9,
               1e3 * p.subject_s, 1 / p.subject_s, bytes / p.subject_s / 1e9, 1e-9 / p.yardstick, p.of_wall,
               p.of_processor);
    std::fflush(stdout);
}

void print_shares(const Setting& s, DType type, int threads) {
    const auto comm = single_process();
    CpuSession session(decode(s.model, type, s.cached, threads), *comm, threads);
    session.run();
    session.time_ops(true);
    const Graph& g = session.local();
    struct Use {
        double seconds = 0, bytes = 0;
        int calls = 0;
    };
    std::map<std::string, Use> by_op;
    for (int i = 0; i < s.tokens; ++i)
        for (const Span& span : session.run().spans)
            if (span.op >= 0) {
                const Op& op = g.ops()[span.op];
                Use& use = by_op[std::string(name(op.kind)) + " " + op.name];
                use.seconds += span.duration.si() / s.tokens;
                if (op.kind == OpKind::matmul) use.bytes += g.bytes(op.in[1]).si() / s.tokens;
                ++use.calls;
            }
    fmt::print("{} {} threads ({})\n", name(type), threads, session.usage().detail);
    for (const auto& [op, use] : by_op)
        fmt::print("{:40}{:6} calls{:9.3f} ms{:9.1f} GB/s\n", op, use.calls / s.tokens, 1e3 * use.seconds,
                   use.bytes / use.seconds / 1e9);
}

}  // namespace
}  // namespace wb::cpu

int main(int argc, char** argv) {
    using namespace wb;
    cpu::Setting s;
    const std::string first = argc > 1 ? argv[1] : "";
    if (first == "--shares") {
        for (const DType type : {DType::f32, DType::bf16}) cpu::print_shares(s, type, omp_get_max_threads());
        return 0;
    }
    if (argc > 1) s.cached = std::max(1, std::atoi(argv[1]));
    if (argc > 2) s.tokens = std::max(1, std::atoi(argv[2]));
    if (argc > 3) s.model = argv[3];
    fmt::print("{} with {} tokens in the cache\n", s.model, s.cached);
    fmt::print("{:6}{:>8}{:>12}{:>12}{:>12}{:>12}{:>14}{:>12}{:>12}\n", "type", "threads", "GB a token", "ms a token",
               "tokens/s", "GB/s", "read GB/s", "of read", "(processor)");
    for (const DType type : {DType::f32, DType::bf16})
        for (const int threads : {1, omp_get_num_procs()}) cpu::print_bound(s, type, threads);
}
