#pragma once

#include <omp.h>

#include <memory>
#include <string>
#include <vector>

#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/openblas.hpp"

namespace wb::cpu {

/// One way to compute a prepared product; internal to Gemm.
class GemmEngine {
public:
    virtual ~GemmEngine() = default;
    virtual void run(const void* a, const void* b, const void* bias, void* c) = 0;
    virtual std::string library() const = 0;
};

using GemmFactory = std::unique_ptr<GemmEngine> (*)(const GemmShape&, GemmType, int threads);

// Each factory returns null for what it cannot compute.
std::unique_ptr<GemmEngine> make_onednn_matmul(const GemmShape& shape, GemmType type, int threads);
/// Elements from row to row of A and C, where these are parts of wider matrices; 0 where rows follow each other.
struct RowSteps {
    std::int64_t a = 0, c = 0;
};
std::unique_ptr<GemmEngine> make_onednn_matmul(const GemmShape& shape, GemmType type, int threads, RowSteps steps);
std::unique_ptr<GemmEngine> make_onednn_sgemm(const GemmShape& shape, GemmType type, int threads);
std::unique_ptr<GemmEngine> make_openblas_gemm(const GemmShape& shape, GemmType type, int threads);
/// bf16 operands widened panel by panel to f32 scratch, then sgemm: on processors whose bf16 dot product is slow.
std::unique_ptr<GemmEngine> make_widened_gemm(const GemmShape& shape, GemmType type, int threads);
/// bf16 operands copied so that both lie along k, then oneDNN: weight gradients are stored the other way.
std::unique_ptr<GemmEngine> make_turned_gemm(const GemmShape& shape, GemmType type, int threads);
/// Row-major f32 product of oneDNN on the threads of the caller's OpenMP setting: C = op(A) op(B) + beta C.
void onednn_sgemm(const BlasProduct<float>& p);
/// For one to eight rows (or, seen from the other side, columns): memory-bound, so bandwidth is all that counts.
std::unique_ptr<GemmEngine> make_gemv(const GemmShape& shape, GemmType type, int threads);

/// The candidate that computes this shape fastest; null if there is none.
std::unique_ptr<GemmEngine> make_fastest_gemm(const GemmShape& shape, GemmType type, int threads);

/// The candidate that computes `whole` fastest, for `shape`; the fastest for `shape` where it computes only the other.
std::unique_ptr<GemmEngine> make_gemm_of_part(const GemmShape& shape, GemmType type, int threads,
                                              const GemmShape& whole);

/// Sizes in bytes of one element of A and B, and of C and bias.
struct ElementSizes {
    std::size_t in, out;
};
ElementSizes element_sizes(GemmType type);

/// Elements between the first of A (B, C) and one past the last, over all batches.
struct Extents {
    std::int64_t a, b, c;
};
Extents extents(const GemmShape& shape);

/// Threads of OpenMP regions begun by this thread, put back on leaving.
class ThreadScope {
public:
    explicit ThreadScope(int threads) : before_(omp_get_max_threads()) {
        if (threads != before_) omp_set_num_threads(threads);
    }
    ~ThreadScope() {
        if (omp_get_max_threads() != before_) omp_set_num_threads(before_);
    }
    ThreadScope(const ThreadScope&) = delete;
    ThreadScope& operator=(const ThreadScope&) = delete;

private:
    int before_;
};

/// C = bias in every row, or C += bias where C is accumulated into; the product is then added.
template <class T>
void place_bias(const GemmShape& shape, const T* bias, T* c, int threads) {
    const std::int64_t rows = shape.batch * shape.m;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::int64_t r = 0; r < rows; ++r) {
        T* row = c + (r / shape.m) * shape.stride_c + (r % shape.m) * shape.n;
        if (shape.accumulate) {
            for (std::int64_t j = 0; j < shape.n; ++j) row[j] += bias[j];
        } else {
            for (std::int64_t j = 0; j < shape.n; ++j) row[j] = bias[j];
        }
    }
}

}  // namespace wb::cpu
