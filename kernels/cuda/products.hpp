#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/dtype.hpp"
#include "kernels/cuda/runtime.hpp"

namespace wb::cuda {

/// y [batch][m, n] = a b (+ bias [n]); every matrix row-major with rows `_row` elements apart, batches `_batch`.
struct ProductShape {
    std::int64_t m = 0, n = 0, k = 0, batch = 1;
    bool trans_a = false, trans_b = false, bias = false;  ///< transposed: stored as [k, m], [n, k]
    std::int64_t a_row = 0, b_row = 0, y_row = 0, a_batch = 0, b_batch = 0, y_batch = 0;
    DType in = DType::f32, out = DType::f32;

    /// Dense matrices, one after the other.
    void lie_densely() {
        a_row = trans_a ? m : k;
        b_row = trans_b ? k : n;
        y_row = n;
        a_batch = m * k;
        b_batch = k * n;
        y_batch = m * n;
    }
    bool operator==(const ProductShape&) const = default;
};

/// Matrix products by the vendor's library (cublaslt.cpp), on one device. The fastest of what its heuristic offers is
/// found by timing, once for each shape and all sessions of the process.
class Products {
public:
    virtual ~Products() = default;
    /// Finds and keeps the way to compute `shape`; operands' addresses are multiples of `alignment` bytes. Not timed.
    /// Throws Error if the library has none.
    virtual int prepare(const ProductShape& shape, int alignment, Stream stream) = 0;
    /// `way` as prepare() returned it. bias may be null where the shape has none.
    virtual void run(int way, const void* a, const void* b, const void* bias, void* y, Stream stream) = 0;
    virtual std::string library() const = 0;
};

/// For the device in use.
std::unique_ptr<Products> make_products();

}  // namespace wb::cuda
