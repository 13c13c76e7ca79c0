#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "core/element.hpp"
#include "core/hash.hpp"
#include "kernels/cuda/emulated/products.hpp"

// What is asked of cuBLASLt, by a library in its place that multiplies column-major matrices as its header says.

using namespace wb;
using cuda::Epilogue;
using cuda::ProductShape;
using Activation = Epilogue::Activation;
using Summed = Fusion::Summed;

namespace {

/// Values that any type here holds.
std::vector<std::byte> drawn(std::int64_t count, DType type, std::uint64_t seed) {
    std::vector<std::byte> out(static_cast<std::size_t>(count * stored_bytes(type)));
    for (std::int64_t i = 0; i < count; ++i)
        encode(static_cast<double>(mix64(seed * 1000003 + static_cast<std::uint64_t>(i)) % 33) / 16 - 1, type,
               out.data() + i * stored_bytes(type));
    return out;
}

/// Everything that a product and its epilogue read and write.
struct Buffers {
    std::vector<std::byte> a, b, bias, added, argument, y, sum;

    explicit Buffers(const ProductShape& s)
        : a(drawn(s.batch * s.m * s.k, s.in, 1)),
          b(drawn(s.batch * s.k * s.n, s.in, 2)),
          bias(drawn(s.n, s.out, 3)),
          added(drawn(s.batch * s.m * s.n, s.out, 4)),
          argument(drawn(s.batch * s.m * s.n, s.out, 5)),
          y(drawn(s.batch * s.m * s.n, s.out, 6)),
          sum(drawn(std::max(s.m, s.n), s.out, 7)) {}

    void run(cuda::Products& products, int way) {
        products.run(way, {a.data(), b.data(), y.data(), bias.data(), added.data(), argument.data(), sum.data()},
                     nullptr);
    }
};

double farthest(const std::vector<std::byte>& x, const std::vector<std::byte>& y, DType type) {
    double out = 0;
    const auto step = static_cast<std::size_t>(stored_bytes(type));
    for (std::size_t i = 0; i < x.size(); i += step) {
        const double v = decode(type, x.data() + i), w = decode(type, y.data() + i);
        out = std::max(out, std::abs(v - w) / std::max(1.0, std::abs(w)));
    }
    return out;
}

std::vector<Epilogue> epilogues() {
    std::vector<Epilogue> out;
    for (const Activation activation : {Activation::none, Activation::gelu, Activation::gelu_backward})
        for (const bool kept : {false, true})
            for (const bool add : {false, true})
                for (const Summed sum : {Summed::none, Summed::result, Summed::first, Summed::second})
                    if (!kept || activation == Activation::gelu) out.push_back({activation, kept, add, sum});
    return out;
}

}  // namespace

TEST_CASE("cublaslt: every epilogue that has a word, in every layout, means what it should") {
    const auto library = cuda::make_products();
    const auto plain = cuda::emulated::make_plain_products();
    int fused = 0, refused = 0;
    for (const DType type : {DType::f32, DType::bf16, DType::f16})
        for (const std::int64_t n : {16, 21})
            for (const std::int64_t batch : {1, 3})
                for (int layout = 0; layout < 8; ++layout)
                    for (const Epilogue& epilogue : epilogues()) {
                        ProductShape s{11, n, 9, batch, layout % 2 == 1, layout / 2 % 2 == 1, layout / 4 == 1};
                        s.in = s.out = type;
                        s.epilogue = epilogue;
                        s.lie_densely();
                        const auto way = library->find(s, 16, nullptr);
                        const bool lacks = !has_word(s) || (type == DType::f32 && epilogue.sum == Summed::first);
                        REQUIRE(way.has_value() == !lacks);
                        ++(way ? fused : refused);
                        if (!way) continue;
                        Buffers found(s), wanted(s);
                        found.run(*library, way->id);
                        wanted.run(*plain, plain->find(s, 16, nullptr)->id);
                        const double tolerance = type == DType::f32 ? 1e-6 : 1e-2;  // an ulp of bf16 is 0.008
                        REQUIRE(farthest(found.y, wanted.y, type) < tolerance);
                        REQUIRE(farthest(found.argument, wanted.argument, type) < tolerance);
                        REQUIRE(farthest(found.sum, wanted.sum, type) < tolerance);
                        CHECK(way->seconds > 0);
                    }
    CHECK(fused > 200);
    CHECK(refused > 200);
}

TEST_CASE("cublaslt: one matrix shared by a batch, and heads side by side in rows") {
    const auto library = cuda::make_products();
    const auto plain = cuda::emulated::make_plain_products();
    ProductShape s{5, 8, 6, 4};
    s.lie_densely();
    s.b_batch = 0;
    ProductShape heads{5, 8, 6, 3};
    heads.lie_densely();
    heads.a_row = 3 * 6;
    heads.a_batch = 6;
    heads.y_row = 3 * 8;
    heads.y_batch = 8;
    for (const ProductShape& shape : {s, heads}) {
        Buffers found(shape), wanted(shape);
        found.run(*library, library->prepare(shape, 16, nullptr));
        wanted.run(*plain, plain->prepare(shape, 16, nullptr));
        CHECK(farthest(found.y, wanted.y, shape.out) < 1e-6);
        CHECK(farthest(found.y, Buffers(shape).y, shape.out) > 0.1);
    }
}
