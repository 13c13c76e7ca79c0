#include "core/element.hpp"
#include "core/error.hpp"
#include "kernels/cuda/runner.hpp"
#include "kernels/cuda/storage.hpp"

namespace wb::cuda {
namespace {

constexpr std::int64_t byte_granule = 16;  // rows of 8-bit matrices begin on 16-byte boundaries

std::int64_t padded(std::int64_t n) { return (n + byte_granule - 1) / byte_granule * byte_granule; }

/// 8-bit products exist for rows of a against rows of b only, in multiples of 16: other layouts and sizes are brought
/// into that form on the device, as a part of the run.
Runner packed_bytes(const Site& site, const ProductShape& given) {
    const std::int64_t m = padded(given.m), n = padded(given.n), k = padded(given.k);
    ProductShape inner = given;
    inner.m = m;
    inner.n = n;
    inner.k = k;
    inner.batch = 1;
    inner.trans_a = false;
    inner.trans_b = true;
    inner.lie_densely();
    const Stream stream = site.stream();
    const int way = site.setup.products.prepare(inner, static_cast<int>(place_alignment), stream);
    const std::int64_t whole = place_alignment, y_bytes = stored_bytes(given.out);
    const auto up = [whole](std::int64_t bytes) { return (bytes + whole - 1) / whole * whole; };
    const std::int64_t b_at = up(m * k), y_at = b_at + up(n * k);
    Scratch* const scratch = &site.setup.scratch;
    scratch->reserve(y_at + m * n * y_bytes);
    Products* const products = &site.setup.products;
    const Matrix a = given.trans_a ? Matrix{given.k, given.m} : Matrix{given.m, given.k};
    const Matrix b = given.trans_b ? Matrix{given.n, given.k} : Matrix{given.k, given.n};
    return {[=](Operands p) {
                for (std::int64_t g = 0; g < given.batch; ++g) {
                    auto *left = scratch->as<std::byte>(), *right = scratch->as<std::byte>(b_at),
                         *result = scratch->as<std::byte>(y_at);
                    pack_bytes(stream, as<std::byte>(p, 0) + g * given.a_batch, a, given.trans_a, left, {m, k});
                    pack_bytes(stream, as<std::byte>(p, 1) + g * given.b_batch, b, !given.trans_b, right, {n, k});
                    products->run(way, {left, right, result}, stream);
                    unpack(stream, static_cast<int>(y_bytes), result, {m, n},
                           as<std::byte>(p, 2) + g * given.y_batch * y_bytes, {given.m, given.n});
                }
            },
            products->library() + " on repacked 8-bit matrices"};
}

}  // namespace

ProductShape product_of(const Site& site) {
    const Shape &y = site.out(0).shape, &b = site.in(1).shape;
    ProductShape s;
    s.trans_a = site.a().trans_a;
    s.trans_b = site.a().trans_b;
    s.m = y[y.size() - 2];
    s.n = y[y.size() - 1];
    s.k = b[b.size() - (s.trans_b ? 1 : 2)];
    s.batch = elements(y) / (s.m * s.n);
    s.bias = site.inputs() > 2;
    s.in = site.in(0).dtype;
    s.out = site.out(0).dtype;
    const bool shared = b.size() == 2 && s.batch > 1;
    if (shared && !s.trans_a) {  // one second matrix for all: one product of more rows
        s.m *= s.batch;
        s.batch = 1;
    }
    s.lie_densely();
    if (shared && s.batch > 1) s.b_batch = 0;
    return s;
}

int alignment_of(const ProductShape& s) {
    std::int64_t bytes = place_alignment;
    for (const std::int64_t step : {s.a_batch, s.b_batch})
        while (s.batch > 1 && step * stored_bytes(s.in) % bytes != 0) bytes /= 2;
    while (s.batch > 1 && s.y_batch * stored_bytes(s.out) % bytes != 0) bytes /= 2;
    return static_cast<int>(bytes);
}

Runner make_matmul(const Site& site) {
    const ProductShape s = product_of(site);
    if (bits(s.in) == 8) {
        WB_EXPECT(!s.bias);
        const bool ready =
            !s.trans_a && s.trans_b && s.m % byte_granule == 0 && s.n % byte_granule == 0 && s.k % byte_granule == 0;
        if (!ready) return packed_bytes(site, s);
    }
    const Stream stream = site.stream();
    Products* const products = &site.setup.products;
    const int way = products->prepare(s, alignment_of(s), stream);
    if (s.bias) return {[=](Operands p) { products->run(way, {p[0], p[1], p[3], p[2]}, stream); }, products->library()};
    return {[=](Operands p) { products->run(way, {p[0], p[1], p[2]}, stream); }, products->library()};
}

/// One product for each head, side by side in the rows of x and y; the last features of each head pass unchanged.
Runner make_head_matmul(const Site& site) {
    const Shape& w = site.in(1).shape;
    const std::int64_t heads = w[0], passing = site.a().rotary_dim;
    ProductShape s;
    s.m = Site::rows(site.in(0));
    s.k = w[1];
    s.n = w[2];
    s.batch = heads;
    s.in = site.in(0).dtype;
    s.out = site.out(0).dtype;
    s.a_row = Site::columns(site.in(0));
    s.b_row = s.n;
    s.y_row = Site::columns(site.out(0));
    s.a_batch = s.k + passing;
    s.b_batch = s.k * s.n;
    s.y_batch = s.n + passing;
    const Stream stream = site.stream();
    Products* const products = &site.setup.products;
    const int way = products->prepare(s, alignment_of(s), stream);
    const ColumnMove rule{heads, passing, s.k + passing, s.k, s.n + passing, s.n};
    return {[=](Operands p) {
                products->run(way, {p[0], p[1], p[2]}, stream);
                if (passing > 0) move_columns(stream, s.out, p[0], p[2], s.m, rule);
            },
            products->library()};
}

}  // namespace wb::cuda
