#include "kernels/cuda/bench/direct_product.hpp"

#include <algorithm>
#include <array>

#include "core/element.hpp"
#include "core/error.hpp"
#include "kernels/cuda/kernels.hpp"

namespace wb::cuda {
namespace {

constexpr std::int64_t workspace_bytes = std::int64_t{64} << 20;
constexpr int most_offers = 64, trials = 3;

void expect(cublasStatus_t code) {
    if (code != CUBLAS_STATUS_SUCCESS) throw Error({"cuBLASLt", cublasLtGetStatusString(code), "", ""});
}

cudaDataType_t stored(DType type) {
    switch (type) {
        case DType::bf16: return CUDA_R_16BF;
        case DType::f16: return CUDA_R_16F;
        case DType::fp8_e4m3: return CUDA_R_8F_E4M3;
        case DType::int8: return CUDA_R_8I;
        case DType::int32: return CUDA_R_32I;
        default: return CUDA_R_32F;
    }
}
cublasComputeType_t computed(DType type) {
    if (type == DType::int8) return CUBLAS_COMPUTE_32I;
    return type == DType::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
}

}  // namespace

DType DirectProduct::result_type(DType type) {
    if (type == DType::int8) return DType::int32;
    return type == DType::fp8_e4m3 ? DType::bf16 : type;
}

DirectProduct::DirectProduct(std::int64_t n, DType type, Stream stream)
    : whole_(type == DType::int8), workspace_(workspace_bytes) {
    expect(cublasLtCreate(&handle_));
    expect(cublasLtMatmulDescCreate(&what_, computed(type), whole_ ? CUDA_R_32I : CUDA_R_32F));
    // The library counts by columns: y^T = b a^T.
    const cublasOperation_t transposed = CUBLAS_OP_T;
    expect(cublasLtMatmulDescSetAttribute(what_, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed));
    const auto side = static_cast<std::uint64_t>(n);
    expect(cublasLtMatrixLayoutCreate(&operand_, stored(type), side, side, n));
    expect(cublasLtMatrixLayoutCreate(&result_, stored(result_type(type)), side, side, n));
    ask();
    if (offers_.empty())
        throw Error({"cuBLASLt", "offers no product of " + std::string(name(type)), "", ""}, Exit::failed);
    choose(n * n, type, stream);
}

DirectProduct::~DirectProduct() {
    cublasLtMatrixLayoutDestroy(result_);
    cublasLtMatrixLayoutDestroy(operand_);
    cublasLtMatmulDescDestroy(what_);
    cublasLtDestroy(handle_);
}

void DirectProduct::ask() {
    cublasLtMatmulPreference_t preference = nullptr;
    expect(cublasLtMatmulPreferenceCreate(&preference));
    const auto room = static_cast<std::size_t>(workspace_bytes);
    expect(
        cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &room, sizeof room));
    std::array<cublasLtMatmulHeuristicResult_t, most_offers> found{};
    int count = 0;
    const cublasStatus_t code = cublasLtMatmulAlgoGetHeuristic(handle_, what_, operand_, operand_, result_, result_,
                                                               preference, most_offers, found.data(), &count);
    cublasLtMatmulPreferenceDestroy(preference);
    if (code != CUBLAS_STATUS_NOT_SUPPORTED) expect(code);
    for (int i = 0; i < count; ++i)
        if (const auto& offer = found[static_cast<std::size_t>(i)]; offer.state == CUBLAS_STATUS_SUCCESS)
            offers_.push_back(offer.algo);
}

/// On random data: zeros would cost less power.
void DirectProduct::choose(std::int64_t count, DType type, Stream stream) {
    const Memory a(count * stored_bytes(type)), b(count * stored_bytes(type)),
        y(count * stored_bytes(result_type(type)));
    for (const Memory* m : {&a, &b})
        fill(stream, type, m->data(), count, {Fill::Kind::uniform, whole_ ? 100.0 : 1.0, 7, 0, count, count});
    double least = 0;
    for (std::size_t i = 0; i < offers_.size(); ++i) {
        const double s = seconds(offers_[i], a.data(), b.data(), y.data(), stream);
        if (i > 0 && s >= least) continue;
        least = s;
        best_ = i;
    }
}

double DirectProduct::seconds(const cublasLtMatmulAlgo_t& algorithm, const void* a, const void* b, void* y,
                              Stream stream) const {
    const Event start, end;
    run(algorithm, a, b, y, stream);
    start.record(stream);
    for (int i = 0; i < trials; ++i) run(algorithm, a, b, y, stream);
    end.record(stream);
    end.wait();
    return end.seconds_since(start);
}

void DirectProduct::run(const cublasLtMatmulAlgo_t& algorithm, const void* a, const void* b, void* y,
                        Stream stream) const {
    const float one = 1, zero = 0;
    const std::int32_t whole_one = 1, whole_zero = 0;
    const void* const alpha = whole_ ? static_cast<const void*>(&whole_one) : &one;
    const void* const beta = whole_ ? static_cast<const void*>(&whole_zero) : &zero;
    expect(cublasLtMatmul(handle_, what_, alpha, b, operand_, a, operand_, beta, y, result_, y, result_, &algorithm,
                          workspace_.data(), static_cast<std::size_t>(workspace_bytes), stream));
}

void DirectProduct::run(const void* a, const void* b, void* y, Stream stream) const {
    run(offers_[best_], a, b, y, stream);
}

}  // namespace wb::cuda
