#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace wb::cpu {

/// C[b] = op(A[b]) op(B[b]) (+ bias) (+ C[b]); every matrix is row-major and dense.
struct GemmShape {
    std::int64_t m = 0, n = 0, k = 0, batch = 1;
    bool trans_a = false;  ///< A is stored [k, m] instead of [m, k]
    bool trans_b = false;  ///< B is stored [n, k] instead of [k, n]
    std::int64_t stride_a = 0, stride_b = 0,
                 stride_c = 0;  ///< from batch to batch, in elements; 0 = shared (A, B only)
    bool accumulate = false;    ///< add to C instead of overwriting it
    bool bias = false;          ///< add bias[n], of C's type, to every row

    double flops() const { return 2.0 * double(m) * double(n) * double(k) * double(batch); }
    bool operator==(const GemmShape&) const = default;
};

enum class GemmType {
    f64,
    f32,
    bf16,       ///< bf16 in, bf16 out, f32 inside
    bf16_f32,   ///< bf16 in, f32 out
    int8_int32  ///< signed 8-bit in, 32-bit out, exact
};

class GemmEngine;

/// A product prepared once and run often. Building one chooses the library (for large shapes by timing the candidates
/// once per process and shape) and allocates all scratch; a call allocates nothing. One call at a time per object.
class Gemm {
public:
    /// Throws wb::Error where no library on this machine computes the type.
    Gemm(const GemmShape& shape, GemmType type, int threads);
    /// By the library that computes `whole` fastest, of which this is a part; by the fastest for `shape` where that one
    /// cannot.
    Gemm(const GemmShape& shape, GemmType type, int threads, const GemmShape& whole);
    ~Gemm();
    Gemm(Gemm&&) noexcept;
    Gemm& operator=(Gemm&&) noexcept;

    /// A, B, bias (ignored unless shape.bias) and C as `type` says.
    void operator()(const void* a, const void* b, const void* bias, void* c);

    /// What runs: "oneDNN 2.6.3 matmul", "OpenBLAS 0.3.21 SkylakeX", "waferbench gemv".
    std::string library() const;

private:
    std::unique_ptr<GemmEngine> engine_;
};

/// Which library this process chose for every shape it timed, as rows of numbers; and taking over such rows, so that a
/// job that goes on computes bit for bit what it would have. Rows of another layout are ignored.
std::vector<double> gemm_choices();
void adopt_gemm_choices(const std::vector<double>& rows);

}  // namespace wb::cpu
