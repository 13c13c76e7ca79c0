#pragma once

#include <cublasLt.h>

#include <string>
#include <vector>

#include "core/dtype.hpp"
#include "kernels/cuda/runtime.hpp"

namespace wb::cuda {

/// Square y = a b^T by the vendor's library called directly, as its own samples do, with no code of the backend: what
/// the backend's products are measured by. Every algorithm that the library offers is timed, the fastest is kept.
class DirectProduct {
public:
    /// Sides of `n`; operands of `type`, results of result_type(). Throws Error where the library offers nothing.
    DirectProduct(std::int64_t n, DType type, Stream stream);
    ~DirectProduct();
    DirectProduct(const DirectProduct&) = delete;
    DirectProduct& operator=(const DirectProduct&) = delete;

    static DType result_type(DType type);
    void run(const void* a, const void* b, void* y, Stream stream) const;
    int offers() const { return static_cast<int>(offers_.size()); }

private:
    void run(const cublasLtMatmulAlgo_t& algorithm, const void* a, const void* b, void* y, Stream stream) const;
    double seconds(const cublasLtMatmulAlgo_t& algorithm, const void* a, const void* b, void* y, Stream stream) const;
    void ask();
    void choose(std::int64_t count, DType type, Stream stream);

    cublasLtHandle_t handle_ = nullptr;
    cublasLtMatmulDesc_t what_ = nullptr;
    cublasLtMatrixLayout_t operand_ = nullptr, result_ = nullptr;
    std::vector<cublasLtMatmulAlgo_t> offers_;
    std::size_t best_ = 0;
    bool whole_ = false;  // sums of whole numbers
    Memory workspace_;
};

}  // namespace wb::cuda
