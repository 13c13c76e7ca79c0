#include <cublasLt.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <optional>
#include <tuple>
#include <vector>

#include "core/error.hpp"
#include "kernels/cuda/library.hpp"
#include "kernels/cuda/products.hpp"
#include "kernels/cuda/trial.hpp"

namespace wb::cuda {
namespace {

constexpr std::int64_t workspace_bytes = std::int64_t{64} << 20;
constexpr int most_offers = 16;

/// What is called of cuBLASLt.
struct Lt {
    Library file{"libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR), WB_CUDA_LIBRARIES};
    decltype(&::cublasLtCreate) create = file.find<decltype(&::cublasLtCreate)>("cublasLtCreate");
    decltype(&::cublasLtDestroy) destroy = file.find<decltype(&::cublasLtDestroy)>("cublasLtDestroy");
    decltype(&::cublasLtGetStatusString) get_status_string =
        file.find<decltype(&::cublasLtGetStatusString)>("cublasLtGetStatusString");
    decltype(&::cublasLtGetVersion) get_version = file.find<decltype(&::cublasLtGetVersion)>("cublasLtGetVersion");
    decltype(&::cublasLtMatmul) matmul = file.find<decltype(&::cublasLtMatmul)>("cublasLtMatmul");
    decltype(&::cublasLtMatmulAlgoGetHeuristic) matmul_algo_get_heuristic =
        file.find<decltype(&::cublasLtMatmulAlgoGetHeuristic)>("cublasLtMatmulAlgoGetHeuristic");
    decltype(&::cublasLtMatmulDescCreate) matmul_desc_create =
        file.find<decltype(&::cublasLtMatmulDescCreate)>("cublasLtMatmulDescCreate");
    decltype(&::cublasLtMatmulDescDestroy) matmul_desc_destroy =
        file.find<decltype(&::cublasLtMatmulDescDestroy)>("cublasLtMatmulDescDestroy");
    decltype(&::cublasLtMatmulDescSetAttribute) matmul_desc_set_attribute =
        file.find<decltype(&::cublasLtMatmulDescSetAttribute)>("cublasLtMatmulDescSetAttribute");
    decltype(&::cublasLtMatrixLayoutCreate) matrix_layout_create =
        file.find<decltype(&::cublasLtMatrixLayoutCreate)>("cublasLtMatrixLayoutCreate");
    decltype(&::cublasLtMatrixLayoutDestroy) matrix_layout_destroy =
        file.find<decltype(&::cublasLtMatrixLayoutDestroy)>("cublasLtMatrixLayoutDestroy");
    decltype(&::cublasLtMatrixLayoutSetAttribute) matrix_layout_set_attribute =
        file.find<decltype(&::cublasLtMatrixLayoutSetAttribute)>("cublasLtMatrixLayoutSetAttribute");
    decltype(&::cublasLtMatmulPreferenceCreate) matmul_preference_create =
        file.find<decltype(&::cublasLtMatmulPreferenceCreate)>("cublasLtMatmulPreferenceCreate");
    decltype(&::cublasLtMatmulPreferenceDestroy) matmul_preference_destroy =
        file.find<decltype(&::cublasLtMatmulPreferenceDestroy)>("cublasLtMatmulPreferenceDestroy");
    decltype(&::cublasLtMatmulPreferenceSetAttribute) matmul_preference_set_attribute =
        file.find<decltype(&::cublasLtMatmulPreferenceSetAttribute)>("cublasLtMatmulPreferenceSetAttribute");
};
const Lt& lt() {
    static const Lt library;
    return library;
}

void check(cublasStatus_t code, const char* what) {
    if (code == CUBLAS_STATUS_SUCCESS) return;
    throw Error({what, lt().get_status_string(code), "a call of cuBLASLt failed", ""}, Exit::failed);
}

cudaDataType_t type_of(DType type) {
    switch (type) {
        case DType::f64: return CUDA_R_64F;
        case DType::f32:
        case DType::tf32: return CUDA_R_32F;
        case DType::bf16: return CUDA_R_16BF;
        case DType::f16: return CUDA_R_16F;
        case DType::fp8_e4m3: return CUDA_R_8F_E4M3;
        case DType::int8: return CUDA_R_8I;
        case DType::int32: return CUDA_R_32I;
        default: throw Error({"a product", "cuBLASLt has no " + std::string(name(type)), "", ""});
    }
}

struct Arithmetic {
    cublasComputeType_t compute;
    cudaDataType_t scale;
};
Arithmetic arithmetic_of(DType type) {
    switch (type) {
        case DType::f64: return {CUBLAS_COMPUTE_64F, CUDA_R_64F};
        case DType::tf32: return {CUBLAS_COMPUTE_32F_FAST_TF32, CUDA_R_32F};
        case DType::int8: return {CUBLAS_COMPUTE_32I, CUDA_R_32I};
        default: return {CUBLAS_COMPUTE_32F, CUDA_R_32F};
    }
}

/// An object of the library under its own `destroy`.
template <class T>
class Owned {
public:
    explicit Owned(cublasStatus_t (*destroy)(T)) : destroy_(destroy) {}
    ~Owned() {
        if (it) destroy_(it);
    }
    Owned(const Owned&) = delete;
    Owned& operator=(const Owned&) = delete;
    T it = nullptr;

private:
    cublasStatus_t (*destroy_)(T);
};

/// A row-major matrix as the library sees it: column-major, and so transposed.
class Layout {
public:
    Layout(DType type, std::int64_t rows, std::int64_t columns, std::int64_t row, std::int64_t batch,
           std::int64_t batch_stride) {
        check(lt().matrix_layout_create(&layout_.it, type_of(type), static_cast<std::uint64_t>(columns),
                                        static_cast<std::uint64_t>(rows), row),
              "a matrix layout");
        const auto count = static_cast<std::int32_t>(batch);
        set(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, count);
        set(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, batch_stride);
    }
    cublasLtMatrixLayout_t get() const { return layout_.it; }

private:
    template <class V>
    void set(cublasLtMatrixLayoutAttribute_t attribute, const V& value) {
        check(lt().matrix_layout_set_attribute(layout_.it, attribute, &value, sizeof value), "a matrix layout");
    }
    Owned<cublasLtMatrixLayout_t> layout_{lt().matrix_layout_destroy};
};

/// The library's epilogue. Its result is our y transposed, [n, m]: a bias as long as its rows runs along our n, as do
/// the sums of its first matrix, our second; sums of its second, our first, run along m. Its GELU is the tanh form
/// (PyTorch pull request 104061). Its matrix added stands apart, as beta.
cublasLtEpilogue_t epilogue_of(const ProductShape& s) {
    using Activation = Epilogue::Activation;
    const Epilogue& e = s.epilogue;
    if (e.activation == Activation::gelu_backward)
        return e.sum == Fusion::Summed::result ? CUBLASLT_EPILOGUE_DGELU_BGRAD : CUBLASLT_EPILOGUE_DGELU;
    if (e.activation == Activation::gelu && e.kept)
        return s.bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
    if (e.activation == Activation::gelu) return s.bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
    if (e.sum == Fusion::Summed::first) return CUBLASLT_EPILOGUE_BGRADB;
    if (e.sum == Fusion::Summed::second) return CUBLASLT_EPILOGUE_BGRADA;
    return s.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
}
/// y^T = b^T a^T: the library's first matrix is our second.
class LtProduct {
public:
    explicit LtProduct(const ProductShape& s)
        : shape(s),
          left_(s.in, s.trans_b ? s.n : s.k, s.trans_b ? s.k : s.n, s.b_row, s.batch, s.b_batch),
          right_(s.in, s.trans_a ? s.k : s.m, s.trans_a ? s.m : s.k, s.a_row, s.batch, s.a_batch),
          result_(s.out, s.m, s.n, s.y_row, s.batch, s.y_batch) {
        const auto [compute, scale] = arithmetic_of(s.in);
        check(lt().matmul_desc_create(&product_.it, compute, scale), "a product");
        set(CUBLASLT_MATMUL_DESC_TRANSA, s.trans_b ? CUBLAS_OP_T : CUBLAS_OP_N);
        set(CUBLASLT_MATMUL_DESC_TRANSB, s.trans_a ? CUBLAS_OP_T : CUBLAS_OP_N);
        set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(s));
        if (!uses_argument(s.epilogue)) return;
        set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, s.y_row);
        set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, s.batch > 1 ? s.y_batch : std::int64_t{0});
    }

    /// The heuristic reads how vectors and matrices of epilogues are aligned from their addresses.
    void point(const ProductOperands& p) {
        const bool sums = shape.epilogue.sum != Fusion::Summed::none;
        if (shape.bias || sums) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, sums ? p.sum : p.bias);
        if (uses_argument(shape.epilogue)) set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, p.argument);
    }

    std::vector<cublasLtMatmulAlgo_t> offers(cublasLtHandle_t handle, int alignment) const {
        Owned<cublasLtMatmulPreference_t> preference(lt().matmul_preference_destroy);
        check(lt().matmul_preference_create(&preference.it), "a preference");
        const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
            check(lt().matmul_preference_set_attribute(preference.it, attribute, &value, sizeof value), "a preference");
        };
        const std::uint64_t workspace = workspace_bytes;
        prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace);
        const auto bytes = static_cast<std::uint32_t>(alignment);
        for (const auto attribute :
             {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
              CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
            prefer(attribute, bytes);
        std::array<cublasLtMatmulHeuristicResult_t, most_offers> found{};
        int count = 0;
        const cublasStatus_t code =
            lt().matmul_algo_get_heuristic(handle, product_.it, left_.get(), right_.get(), result_.get(), result_.get(),
                                           preference.it, most_offers, found.data(), &count);
        if (code != CUBLAS_STATUS_NOT_SUPPORTED) check(code, "the heuristic for a product");
        std::vector<cublasLtMatmulAlgo_t> out;
        for (int i = 0; i < count; ++i)
            if (found[static_cast<std::size_t>(i)].state == CUBLAS_STATUS_SUCCESS)
                out.push_back(found[static_cast<std::size_t>(i)].algo);
        return out;
    }

    cublasStatus_t run(cublasLtHandle_t handle, const cublasLtMatmulAlgo_t& how, const ProductOperands& p,
                       void* workspace, Stream stream) {
        point(p);
        const double one_f64 = 1, zero_f64 = 0;
        const float one_f32 = 1, zero_f32 = 0;
        const std::int32_t one_int = 1, zero_int = 0;
        const cudaDataType_t scale = arithmetic_of(shape.in).scale;
        const void *one = &one_f32, *zero = &zero_f32;
        if (scale == CUDA_R_64F) one = &one_f64, zero = &zero_f64;
        if (scale == CUDA_R_32I) one = &one_int, zero = &zero_int;
        const bool adds = shape.epilogue.add;
        return lt().matmul(handle, product_.it, one, p.b, left_.get(), p.a, right_.get(), adds ? one : zero,
                           adds ? p.added : p.y, result_.get(), p.y, result_.get(), &how, workspace,
                           static_cast<std::size_t>(workspace_bytes), stream);
    }

    ProductShape shape;
    cublasLtMatmulAlgo_t algorithm{};

private:
    template <class V>
    void set(cublasLtMatmulDescAttributes_t attribute, const V& value) {
        check(lt().matmul_desc_set_attribute(product_.it, attribute, &value, sizeof value), "a product");
    }
    Layout left_, right_, result_;
    Owned<cublasLtMatmulDesc_t> product_{lt().matmul_desc_destroy};
};

auto key_of(const ProductShape& s, int alignment) {
    const Epilogue& e = s.epilogue;
    return std::tuple(s.m, s.n, s.k, s.batch, s.trans_a, s.trans_b, s.bias, s.a_row, s.b_row, s.y_row, s.a_batch,
                      s.b_batch, s.y_batch, s.in, s.out, e.activation, e.kept, e.add, e.sum, alignment);
}
struct Chosen {
    cublasLtMatmulAlgo_t algorithm{};
    double seconds = 0;  // 0: not timed
};
using Known = std::map<decltype(key_of({}, 0)), std::optional<Chosen>>;

class CublasLt final : public Products {
public:
    CublasLt() : workspace_(workspace_bytes) { check(lt().create(&handle_.it), "starting cuBLASLt"); }

    std::optional<Way> find(const ProductShape& shape, int alignment, Stream stream) override {
        if (!has_word(shape)) return {};
        auto way = std::make_unique<LtProduct>(shape);
        static std::mutex mutex;
        static std::map<int, Known> known;  // by device: one search for all sessions of the process
        const std::scoped_lock lock(mutex);
        Known& mine = known[used_device()];
        const auto key = key_of(shape, alignment);
        auto found = mine.find(key);
        if (found == mine.end()) found = mine.emplace(key, fastest(*way, alignment, stream)).first;
        if (!found->second) return {};
        way->algorithm = found->second->algorithm;
        ways_.push_back(std::move(way));
        return Way{static_cast<int>(ways_.size()) - 1, found->second->seconds};
    }

    void run(int way, const ProductOperands& operands, Stream stream) override {
        LtProduct& w = *ways_[static_cast<std::size_t>(way)];
        check(w.run(handle_.it, w.algorithm, operands, workspace_.data(), stream), "a product");
    }

    std::string library() const override {
        const auto version = static_cast<int>(lt().get_version());  // 130002 is 13.0.2
        return "cuBLASLt " + std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
               std::to_string(version % 100);
    }

private:
    std::optional<Chosen> fastest(LtProduct& way, int alignment, Stream stream) {
        std::byte* const somewhere = workspace_.data();
        way.point({somewhere, somewhere, somewhere, somewhere, somewhere, somewhere, somewhere});
        const std::vector<cublasLtMatmulAlgo_t> all = way.offers(handle_.it, alignment);
        if (all.empty()) return {};
        try {
            return timed(way, all, stream);
        } catch (const Error&) {  // no room for trial operands: the library's own first choice
            forget_error();
            return Chosen{all.front()};
        }
    }

    std::optional<Chosen> timed(LtProduct& way, const std::vector<cublasLtMatmulAlgo_t>& all, Stream stream) {
        const ProductShape& s = way.shape;
        const Trial a((s.batch - 1) * s.a_batch + (s.trans_a ? s.k : s.m) * s.a_row, s.in, stream);
        const Trial b((s.batch - 1) * s.b_batch + (s.trans_b ? s.n : s.k) * s.b_row, s.in, stream);
        const std::int64_t count = (s.batch - 1) * s.y_batch + s.m * s.y_row;
        const Trial y(count, s.out, stream), added(s.epilogue.add ? count : 1, s.out, stream),
            argument(uses_argument(s.epilogue) ? count : 1, s.out, stream), vector(std::max(s.m, s.n), s.out, stream);
        const ProductOperands p{a.data(),     b.data(),        y.data(),     vector.data(),
                                added.data(), argument.data(), vector.data()};
        std::optional<Chosen> best;
        for (const cublasLtMatmulAlgo_t& algorithm : all) {
            const auto once = [&] { return way.run(handle_.it, algorithm, p, workspace_.data(), stream); };
            if (once() != CUBLAS_STATUS_SUCCESS) continue;
            const double elapsed = trial_seconds(stream, [&] { check(once(), "a product"); });
            if (!best || elapsed < best->seconds) best = {algorithm, elapsed};
        }
        return best;
    }

    Owned<cublasLtHandle_t> handle_{lt().destroy};
    Memory workspace_;
    std::vector<std::unique_ptr<LtProduct>> ways_;
};

}  // namespace

std::unique_ptr<Products> make_products() { return std::make_unique<CublasLt>(); }

}  // namespace wb::cuda
