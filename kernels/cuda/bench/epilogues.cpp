#include <fmt/format.h>

#include <array>
#include <optional>

#include "kernels/cuda/bench/measure.hpp"
#include "kernels/cuda/products.hpp"

namespace wb::cuda {
namespace {

using Activation = Epilogue::Activation;
using Summed = Fusion::Summed;

/// A product of a training step of GPT-2 with 16 sequences of 1024 tokens, and what follows it.
struct Followed {
    const char* name;
    std::int64_t m, n, k;
    bool trans_a, trans_b, bias;
    Epilogue epilogue;
};
constexpr std::int64_t tokens = 16384, width = 768, wide = 4 * width;
constexpr std::array all{
    Followed{"gelu", tokens, wide, width, false, false, true, {Activation::gelu, false, false, Summed::none}},
    Followed{"gelu_kept", tokens, wide, width, false, false, true, {Activation::gelu, true, false, Summed::none}},
    Followed{"residual", tokens, width, wide, false, false, true, {Activation::none, false, true, Summed::none}},
    Followed{"gelu_backward",
             tokens,
             wide,
             width,
             false,
             true,
             false,
             {Activation::gelu_backward, false, false, Summed::none}},
    Followed{"gelu_backward_bias",
             tokens,
             wide,
             width,
             false,
             true,
             false,
             {Activation::gelu_backward, false, false, Summed::result}},
    Followed{"weight_gradient_bias",
             width,
             wide,
             tokens,
             true,
             false,
             false,
             {Activation::none, false, false, Summed::second}},
};

/// What the epilogue computes, by own kernels after the product `y`.
void follow(const Followed& f, const ProductOperands& p, void* out, float* scratch, Stream stream) {
    const std::int64_t count = f.m * f.n;
    const DType type = DType::bf16;
    const Epilogue& e = f.epilogue;
    if (e.activation == Activation::gelu) gelu(stream, type, p.y, out, count, true);
    if (e.activation == Activation::gelu_backward) gelu_backward(stream, type, p.y, p.argument, out, count, true);
    if (e.add) add(stream, type, p.y, p.added, out, count);
    if (e.sum == Summed::result) sum_rows(stream, type, out, p.sum, scratch, {f.m, f.n});
    if (e.sum == Summed::second) sum_rows(stream, type, p.b, p.sum, scratch, {f.k, f.n});
}

void epilogue(benchmark::State& state, const Followed& f, bool fused) {
    const Queue queue;
    const Stream stream = queue.stream();
    ProductShape s;
    s.m = f.m;
    s.n = f.n;
    s.k = f.k;
    s.trans_a = f.trans_a;
    s.trans_b = f.trans_b;
    s.bias = f.bias;
    s.in = s.out = DType::bf16;
    if (fused) s.epilogue = f.epilogue;
    s.lie_densely();
    const auto products = make_products();
    const std::optional<Products::Way> way = products->find(s, 256, stream);
    if (!way) return state.SkipWithError("the library has no such epilogue");
    const auto matrix = [&](std::int64_t count) { return filled(count, DType::bf16, stream); };
    const Memory a = matrix(s.m * s.k), b = matrix(s.k * s.n), y = matrix(s.m * s.n), out = matrix(s.m * s.n),
                 added = matrix(s.m * s.n), argument = matrix(s.m * s.n), bias = matrix(s.n), sum = matrix(s.n),
                 scratch(4 * column_scratch({std::max(s.m, s.k), s.n}));
    const ProductOperands p{a.data(), b.data(), y.data(), bias.data(), added.data(), argument.data(), sum.data()};
    const double flop = 2.0 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
    measure(state, queue, flop, 0, [&] {
        products->run(way->id, p, stream);
        if (!fused) follow(f, p, out.data(), reinterpret_cast<float*>(scratch.data()), stream);
    });
}

}  // namespace

void add_epilogues() {
    for (const Followed& f : all)
        for (const bool fused : {true, false})
            benchmark::RegisterBenchmark(fmt::format("epilogue/{}/{}", f.name, fused ? "fused" : "separate").c_str(),
                                         epilogue, f, fused)
                ->UseManualTime();
}

}  // namespace wb::cuda
