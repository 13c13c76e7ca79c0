#include "kernels/cuda/products.hpp"

#include <cstddef>
#include <vector>

#include "core/element.hpp"

namespace wb::cuda {
namespace {

/// Plain loops in the place of the vendor's library.
class PlainProducts final : public Products {
public:
    int prepare(const ProductShape& shape, int, Stream) override {
        shapes_.push_back(shape);
        return static_cast<int>(shapes_.size()) - 1;
    }
    void run(int way, const void* a, const void* b, const void* bias, void* y, Stream) override {
        const ProductShape& s = shapes_.at(static_cast<std::size_t>(way));
        const auto value = [](const void* x, DType type, std::int64_t i) {
            return decode(type, static_cast<const std::byte*>(x) + i * stored_bytes(type));
        };
        for (std::int64_t g = 0; g < s.batch; ++g)
            for (std::int64_t i = 0; i < s.m; ++i)
                for (std::int64_t j = 0; j < s.n; ++j) {
                    double sum = bias ? value(bias, s.out, j) : 0.0;
                    for (std::int64_t p = 0; p < s.k; ++p)
                        sum += value(a, s.in, g * s.a_batch + (s.trans_a ? p * s.a_row + i : i * s.a_row + p)) *
                               value(b, s.in, g * s.b_batch + (s.trans_b ? j * s.b_row + p : p * s.b_row + j));
                    encode(sum, s.out,
                           static_cast<std::byte*>(y) + (g * s.y_batch + i * s.y_row + j) * stored_bytes(s.out));
                }
    }
    std::string library() const override { return "plain loops"; }

private:
    std::vector<ProductShape> shapes_;
};

}  // namespace

std::unique_ptr<Products> make_products() { return std::make_unique<PlainProducts>(); }

}  // namespace wb::cuda
