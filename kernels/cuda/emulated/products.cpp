#include "kernels/cuda/emulated/products.hpp"

#include <cmath>
#include <cstddef>
#include <vector>

#include "core/element.hpp"

namespace wb::cuda {

namespace emulated {
namespace {
Offers offered;
}
void set_offers(const Offers& offers) { offered = offers; }
}  // namespace emulated

namespace {

using Activation = Epilogue::Activation;
using Summed = Fusion::Summed;

/// Hendrycks and Gimpel 2016.
double gelu(double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }
double gelu_derivative(double x) {
    const double slope = std::sqrt(2 / M_PI), t = std::tanh(slope * (x + 0.044715 * x * x * x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope * (1 + 3 * 0.044715 * x * x);
}

double value(const void* x, DType type, std::int64_t i) {
    return decode(type, static_cast<const std::byte*>(x) + i * stored_bytes(type));
}
void put(double x, void* to, DType type, std::int64_t i) {
    encode(x, type, static_cast<std::byte*>(to) + i * stored_bytes(type));
}

class PlainProducts final : public Products {
public:
    std::optional<Way> find(const ProductShape& shape, int, Stream) override {
        const emulated::Offers& offered = emulated::offered;
        const Epilogue& e = shape.epilogue;
        if (!e.empty() && !offered.epilogues) return {};
        if (!has_word(shape)) return {};
        shapes_.push_back(shape);
        const bool sums = e.sum != Summed::none && offered.summing_seconds > 0;
        const double seconds = sums        ? offered.summing_seconds
                               : e.empty() ? offered.plain_seconds
                                           : offered.fused_seconds;
        return Way{static_cast<int>(shapes_.size()) - 1, seconds};
    }

    void run(int way, const ProductOperands& p, Stream) override {
        const ProductShape& s = shapes_.at(static_cast<std::size_t>(way));
        std::vector<double> sums(static_cast<std::size_t>(s.n), 0.0);
        for (std::int64_t g = 0; g < s.batch; ++g)
            for (std::int64_t i = 0; i < s.m; ++i)
                for (std::int64_t j = 0; j < s.n; ++j) {
                    double sum = s.bias ? value(p.bias, s.out, j) : 0.0;
                    for (std::int64_t k = 0; k < s.k; ++k) sum += a_at(s, p, g, i, k) * b_at(s, p, g, k, j);
                    sums[static_cast<std::size_t>(j)] += finish(s, p, g * s.y_batch + i * s.y_row + j, sum);
                }
        if (s.epilogue.sum == Summed::result)
            for (std::int64_t j = 0; j < s.n; ++j) put(sums[static_cast<std::size_t>(j)], p.sum, s.out, j);
        if (s.epilogue.sum == Summed::first)
            sum_along_k(s, s.m, p, [&](auto i, auto k) { return a_at(s, p, 0, i, k); });
        if (s.epilogue.sum == Summed::second)
            sum_along_k(s, s.n, p, [&](auto j, auto k) { return b_at(s, p, 0, k, j); });
    }
    std::string library() const override { return "plain loops"; }

private:
    static double a_at(const ProductShape& s, const ProductOperands& p, std::int64_t g, std::int64_t i,
                       std::int64_t k) {
        return value(p.a, s.in, g * s.a_batch + (s.trans_a ? k * s.a_row + i : i * s.a_row + k));
    }
    static double b_at(const ProductShape& s, const ProductOperands& p, std::int64_t g, std::int64_t k,
                       std::int64_t j) {
        return value(p.b, s.in, g * s.b_batch + (s.trans_b ? j * s.b_row + k : k * s.b_row + j));
    }

    /// The epilogue of element `at` of the result; what is stored there.
    static double finish(const ProductShape& s, const ProductOperands& p, std::int64_t at, double x) {
        const Epilogue& e = s.epilogue;
        if (e.add) x += value(p.added, s.out, at);
        if (e.kept) put(x, p.argument, s.out, at);
        if (e.activation == Activation::gelu) x = gelu(x);
        if (e.activation == Activation::gelu_backward) x *= gelu_derivative(value(p.argument, s.out, at));
        put(x, p.y, s.out, at);
        return x;
    }

    template <class At>
    static void sum_along_k(const ProductShape& s, std::int64_t count, const ProductOperands& p, const At& at) {
        for (std::int64_t i = 0; i < count; ++i) {
            double sum = 0;
            for (std::int64_t k = 0; k < s.k; ++k) sum += at(i, k);
            put(sum, p.sum, s.out, i);
        }
    }

    std::vector<ProductShape> shapes_;
};

}  // namespace

std::unique_ptr<Products> emulated::make_plain_products() { return std::make_unique<PlainProducts>(); }

}  // namespace wb::cuda
