#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/dtype.hpp"
#include "core/fusion.hpp"
#include "kernels/cuda/runtime.hpp"

namespace wb::cuda {

/// What is computed in the pass that writes a product's result.
struct Epilogue {
    enum class Activation : std::uint8_t {
        none,
        gelu,          ///< tanh form
        gelu_backward  ///< times the derivative at `argument`
    } activation = Activation::none;
    bool kept = false;  ///< gelu: its argument is written too
    bool add = false;   ///< another matrix is added
    Fusion::Summed sum = Fusion::Summed::none;

    bool empty() const { return *this == Epilogue{}; }
    bool operator==(const Epilogue&) const = default;
};

/// y [batch][m, n] = a b (+ bias [n]); every matrix row-major with rows `_row` elements apart, batches `_batch`. The
/// matrices of an epilogue lie as y does.
struct ProductShape {
    std::int64_t m = 0, n = 0, k = 0, batch = 1;
    bool trans_a = false, trans_b = false, bias = false;  ///< transposed: stored as [k, m], [n, k]
    std::int64_t a_row = 0, b_row = 0, y_row = 0, a_batch = 0, b_batch = 0, y_batch = 0;
    DType in = DType::f32, out = DType::f32;
    Epilogue epilogue = {};

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

/// Have libraries a word for the epilogue at all? One vector only, the bias or a sum, and that of one matrix; a GELU or
/// a sum, or a matrix added; what GELU keeps in rows of multiples of 8.
bool has_word(const ProductShape& shape);
bool uses_argument(const Epilogue& epilogue);

/// Device addresses; those that the shape does not ask for are null.
struct ProductOperands {
    const void *a, *b;
    void* y;
    const void *bias = nullptr, *added = nullptr;
    void *argument = nullptr, *sum = nullptr;  ///< argument: of gelu, written if kept; of gelu_backward, read
};

/// Matrix products by the vendor's library (cublaslt.cpp), on one device. The fastest of what its heuristic offers is
/// found by timing, once for each shape and all sessions of the process.
class Products {
public:
    struct Way {
        int id;
        double seconds;  ///< of one product in its trial; 0: there was none
    };
    virtual ~Products() = default;
    /// Finds and keeps the way to compute `shape`; operands' addresses are multiples of `alignment` bytes. Not timed.
    /// Nothing if the library has none.
    virtual std::optional<Way> find(const ProductShape& shape, int alignment, Stream stream) = 0;
    /// The same; throws Error if there is none.
    int prepare(const ProductShape& shape, int alignment, Stream stream);
    /// `way` as it was found.
    virtual void run(int way, const ProductOperands& operands, Stream stream) = 0;
    virtual std::string library() const = 0;
};

/// For the device in use.
std::unique_ptr<Products> make_products();

}  // namespace wb::cuda
