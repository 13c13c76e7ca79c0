#include <fmt/format.h>

#include <array>
#include <cmath>

#include "kernels/cuda/attention.hpp"
#include "kernels/cuda/bench/direct_product.hpp"
#include "kernels/cuda/bench/measure.hpp"
#include "kernels/cuda/kernels.hpp"
#include "kernels/cuda/products.hpp"

// Own kernels beside what they are measured by: the vendor's library called directly, as its own samples do, and the
// device's copy of memory. Times are between events on the device; a device without neighbours is assumed.

namespace wb::cuda {
namespace {

ProductShape square(std::int64_t n, DType type, bool trans_b) {
    ProductShape s;
    s.m = s.n = s.k = n;
    s.trans_b = trans_b;
    s.in = type;
    s.out = DirectProduct::result_type(type);
    s.lie_densely();
    return s;
}

void product(benchmark::State& state, DType type, bool trans_b) {
    const Queue queue;
    const ProductShape s = square(state.range(0), type, trans_b);
    const auto products = make_products();
    const int way = products->prepare(s, 256, queue.stream());
    const std::int64_t count = s.m * s.n;
    const Memory a = filled(count, s.in, queue.stream()), b = filled(count, s.in, queue.stream()),
                 y(count * stored_bytes(s.out));
    const double n = static_cast<double>(s.n);
    measure(state, queue, 2 * n * n * n, 0, [&] {
        products->run(way, {a.data(), b.data(), y.data()}, queue.stream());
    });
}

void product_direct(benchmark::State& state, DType type) {
    const Queue queue;
    const std::int64_t count = state.range(0) * state.range(0);
    const DirectProduct direct(state.range(0), type, queue.stream());
    const Memory a = filled(count, type, queue.stream()), b = filled(count, type, queue.stream()),
                 y(count * stored_bytes(DirectProduct::result_type(type)));
    const double n = static_cast<double>(state.range(0));
    measure(state, queue, 2 * n * n * n, 0, [&] { direct.run(a.data(), b.data(), y.data(), queue.stream()); });
    state.counters["offers"] = direct.offers();
}

constexpr Matrix activations{16384, 4096};

void copy(benchmark::State& state) {
    const Queue queue;
    const std::int64_t bytes = activations.size() * 2;
    const Memory from(bytes), to(bytes);
    measure(state, queue, 0, 2.0 * static_cast<double>(bytes),
            [&] { copy_on_device(to.data(), from.data(), bytes, queue.stream()); });
}

/// A kernel on bf16 activations that reads and writes `passes` such matrices.
template <class Work>
void on_rows(benchmark::State& state, double passes, const Work& work) {
    const Queue queue;
    std::array<Memory, 4> m;
    for (Memory& x : m) x = filled(activations.size(), DType::bf16, queue.stream());
    const double bytes = passes * 2.0 * static_cast<double>(activations.size());
    measure(state, queue, 0, bytes, [&] { work(queue.stream(), m); });
}

void update(benchmark::State& state) {
    const Queue queue;
    constexpr std::int64_t n = std::int64_t{1} << 27;
    const Memory w = filled(n, DType::bf16, queue.stream()), g = filled(n, DType::bf16, queue.stream());
    const Memory m = filled(n, DType::f32, queue.stream()), v = filled(n, DType::f32, queue.stream()),
                 master = filled(n, DType::f32, queue.stream()), corrections(8);
    set_bytes(v.data(), 0, v.bytes(), queue.stream());
    set_bytes(corrections.data(), 0x3f, 8, queue.stream());
    const Update how{1e-4F, 0.9F, 0.999F, 1e-8F, 0.1F, reinterpret_cast<const float*>(corrections.data())};
    const auto floats = [](const Memory& x) { return reinterpret_cast<float*>(x.data()); };
    measure(state, queue, 0, 30.0 * static_cast<double>(n), [&] {  // weight 2 + 2, gradient 2, three of f32 4 + 4
        adamw(queue.stream(), DType::bf16, w.data(), g.data(), floats(m), floats(v), floats(master), n, how);
    });
}

/// FLOP/s of the largest bf16 product here: what matrix units reach, measured once.
double product_rate() {
    static const double rate = [] {
        const Queue queue;
        const ProductShape s = square(8192, DType::bf16, true);
        const auto products = make_products();
        const int way = products->prepare(s, 256, queue.stream());
        const std::int64_t count = s.m * s.n;
        const Memory a = filled(count, s.in, queue.stream()), b = filled(count, s.in, queue.stream()), y(count * 2);
        const double n = static_cast<double>(s.n);
        return 2 * n * n * n / seconds_of(queue, [&] {
                   products->run(way, {a.data(), b.data(), y.data()}, queue.stream());
               });
    }();
    return rate;
}

struct Heads {
    std::int64_t d;
    bool causal, backward, warpgroups;
};

/// By warpgroups or by warps: FLOP/s, and how they stand to those of products and of forward in this run.
void attention(benchmark::State& state, const Heads& which) {
    const auto [d, causal, backward, warpgroups] = which;
    const Queue queue;
    const Stream stream = queue.stream();
    const std::int64_t seq = state.range(0), heads = 2048 / d, count = seq * heads * d;
    const Attention how{1, seq, seq, heads, heads, d, d, d, 0, causal, 1.0F / std::sqrt(static_cast<float>(d))};
    std::array<Memory, 8> x;
    for (Memory& m : x) m = filled(count, DType::bf16, stream);
    const Memory lse(heads * seq * 4), scratch((warpgroups ? warpgroup_backward_scratch(how) : heads * seq) * 4);
    auto *const sums = reinterpret_cast<float*>(lse.data()), *const room = reinterpret_cast<float*>(scratch.data());
    const AttentionOperands p{x[0].data(), x[1].data(), x[2].data(), x[3].data(), sums};
    const AttentionGradients g{x[4].data(), p.q, p.k, p.v, p.y, sums, x[5].data(), x[6].data(), x[7].data(), room};
    const auto forward = [&] {
        warpgroups ? attention_warpgroup(stream, DType::bf16, p, how) : attention_tiled(stream, DType::bf16, p, how);
    };
    const double pairs = static_cast<double>(heads * seq) * static_cast<double>(causal ? seq + 1 : 2 * seq) / 2;
    const double forward_flop = 4.0 * pairs * static_cast<double>(d),
                 flop = backward ? 2.5 * forward_flop : forward_flop;
    const double forward_s = seconds_of(queue, forward);
    const double seconds = measure(state, queue, flop, 0, [&] {
        if (!backward) return forward();
        warpgroups ? attention_warpgroup_backward(stream, DType::bf16, g, room, how)
                   : attention_tiled_backward(stream, DType::bf16, g, how);
    });
    state.counters["of_product"] = flop / seconds / product_rate();
    if (backward) state.counters["of_forward"] = flop / seconds / (forward_flop / forward_s);
}

struct Cache {
    DType type;
    std::int64_t heads, kv, d;
};

void decoding(benchmark::State& state, const Cache& which) {
    const Queue queue;
    const auto [type, heads, kv, d] = which;
    const std::int64_t batch = 32, keys = state.range(0);
    const Attention how{batch, 1, keys, heads, kv, d, d, d, 0, true, 1.0F / std::sqrt(static_cast<float>(d))};
    const std::int64_t splits = decode_splits(how, device(0).processors);
    const Memory q = filled(batch * heads * d, type, queue.stream()), y(batch * heads * d * 2), lse(batch * heads * 4),
                 parts(decode_scratch(how, splits) * 4);
    const Memory k = filled(batch * keys * kv * d, type, queue.stream()),
                 v = filled(batch * keys * kv * d, type, queue.stream());
    measure(state, queue, 0, 2.0 * static_cast<double>(k.bytes()), [&] {
        attention_decode(queue.stream(), type,
                         {q.data(), k.data(), v.data(), y.data(), reinterpret_cast<float*>(lse.data())},
                         reinterpret_cast<float*>(parts.data()), splits, how);
    });
}

void add_benchmarks() {
    using benchmark::RegisterBenchmark;
    RegisterBenchmark("copy/bf16/16384x4096", copy)->UseManualTime();
    for (const DType type : {DType::f32, DType::tf32, DType::bf16, DType::f16, DType::fp8_e4m3, DType::int8}) {
        RegisterBenchmark(fmt::format("product/{}", name(type)).c_str(), product, type, true)
            ->Arg(4096)
            ->Arg(8192)
            ->UseManualTime();
        RegisterBenchmark(fmt::format("product_direct/{}", name(type)).c_str(), product_direct, type)
            ->Arg(4096)
            ->Arg(8192)
            ->UseManualTime();
    }
    add_epilogues();
    const auto rows = [](const char* name, double passes, auto work) {
        RegisterBenchmark(name, [=](benchmark::State& s) { on_rows(s, passes, work); })->UseManualTime();
    };
    rows("add", 3,
         [](Stream s, auto& m) { add(s, DType::bf16, m[0].data(), m[1].data(), m[2].data(), activations.size()); });
    rows("gelu", 2,
         [](Stream s, auto& m) { gelu(s, DType::bf16, m[0].data(), m[1].data(), activations.size(), true); });
    rows("silu_mul", 3, [](Stream s, auto& m) {
        silu_mul(s, DType::bf16, m[0].data(), m[1].data(), m[2].data(), activations.size());
    });
    rows("rmsnorm", 2, [](Stream s, auto& m) {
        norm(s, DType::bf16, m[0].data(), m[1].data(), nullptr, m[2].data(), {activations, 1e-5F, false});
    });
    rows("layernorm", 2, [](Stream s, auto& m) {
        norm(s, DType::bf16, m[0].data(), m[1].data(), m[3].data(), m[2].data(), {activations, 1e-5F, true});
    });
    rows("softmax", 2, [](Stream s, auto& m) { softmax(s, DType::bf16, m[0].data(), m[1].data(), activations); });
    RegisterBenchmark("adamw/bf16", update)->UseManualTime();
    const auto heads = [](const char* name, const Heads& which) {
        RegisterBenchmark(fmt::format("{}/d{}{}", name, which.d, which.causal ? "/causal" : "").c_str(), attention,
                          which)
            ->Arg(8192)
            ->Arg(16384)
            ->UseManualTime();
    };
    const bool warpgroups = device(0).major == 9;
    for (const bool causal : {false, true})
        for (const std::int64_t d : {64, 128, 256}) {
            heads("attention", {d, causal, false, false});
            if (warpgroups) heads("attention_warpgroup", {d, causal, false, true});
            if (d <= 128) heads("attention_backward", {d, causal, true, false});
            if (warpgroups) heads("attention_backward_warpgroup", {d, causal, true, true});
        }
    for (const Cache& c :
         {Cache{DType::bf16, 32, 8, 128}, Cache{DType::f16, 32, 8, 128}, Cache{DType::bf16, 64, 8, 128},
          Cache{DType::bf16, 8, 8, 128}, Cache{DType::bf16, 16, 8, 64}, Cache{DType::bf16, 16, 8, 256}})
        RegisterBenchmark(fmt::format("decode/{}/{}_of_{}_heads/d{}", name(c.type), c.kv, c.heads, c.d).c_str(),
                          decoding, c)
            ->Arg(2048)
            ->Arg(8192)
            ->UseManualTime();
}

}  // namespace
}  // namespace wb::cuda

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    const wb::cuda::Devices all = wb::cuda::devices();
    if (all.count == 0) {
        fmt::print("no CUDA device: {}\n", all.why_none);
        return 1;
    }
    benchmark::AddCustomContext("device", wb::cuda::device(0).name);
    benchmark::AddCustomContext("versions", wb::cuda::device(0).versions);
    wb::cuda::add_benchmarks();
    benchmark::RunSpecifiedBenchmarks();
}
