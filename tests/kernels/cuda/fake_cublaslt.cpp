// cuBLASLt as its header describes it, in the place of the real one: plain loops over column-major matrices. What it
// refuses, the real one does.
#include <cublasLt.h>

#include <cmath>
#include <cstring>
#include <functional>

#include "kernels/cuda/types.hpp"

namespace {

struct Desc {
    cublasComputeType_t compute;
    cudaDataType_t scale;
    std::int32_t trans_a = CUBLAS_OP_N, trans_b = CUBLAS_OP_N;
    std::uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    void *vector = nullptr, *aux = nullptr;
    std::int64_t aux_ld = 0, aux_stride = 0;
};
struct Layout {
    cudaDataType_t type;
    std::int64_t rows, columns, ld;
    std::int32_t batch = 1;
    std::int64_t stride = 0;
};

template <class T, class Opaque>
T& as(Opaque* x) {
    return *reinterpret_cast<T*>(x);
}

double value(const void* x, cudaDataType_t type, std::int64_t i) {
    using namespace wb::cuda;
    switch (type) {
        case CUDA_R_64F: return static_cast<const double*>(x)[i];
        case CUDA_R_32F: return static_cast<const float*>(x)[i];
        case CUDA_R_16F: return f16_value(static_cast<const std::uint16_t*>(x)[i]);
        default: return to_float(static_cast<const bf16*>(x)[i]);
    }
}
void put(double y, void* x, cudaDataType_t type, std::int64_t i) {
    using namespace wb::cuda;
    switch (type) {
        case CUDA_R_64F: static_cast<double*>(x)[i] = y; break;
        case CUDA_R_32F: static_cast<float*>(x)[i] = static_cast<float>(y); break;
        case CUDA_R_16F: static_cast<std::uint16_t*>(x)[i] = f16_bits(static_cast<float>(y)); break;
        default: static_cast<std::uint16_t*>(x)[i] = bf16_bits(static_cast<float>(y));
    }
}

const double slope = std::sqrt(2 / M_PI), cubic = 0.044715;
double gelu(double x) { return 0.5 * x * (1 + std::tanh(slope * (x + cubic * x * x * x))); }
double gelu_derivative(double x) {
    const double t = std::tanh(slope * (x + cubic * x * x * x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope * (1 + 3 * cubic * x * x);
}

/// One call: D [m, n] = op(A) op(B), all column-major.
struct Call {
    const Desc& d;
    const Layout &a, &b, &c, &y;

    std::int64_t m() const { return y.rows; }
    std::int64_t n() const { return y.columns; }
    std::int64_t k() const { return d.trans_a == CUBLAS_OP_N ? a.columns : a.rows; }
    bool has(std::uint32_t bits) const {
        return (d.epilogue & bits) == bits && d.epilogue != CUBLASLT_EPILOGUE_DEFAULT;
    }
    bool backward() const { return has(CUBLASLT_EPILOGUE_DGELU); }
    bool keeps() const { return has(CUBLASLT_EPILOGUE_GELU_AUX) && !backward(); }
    bool sums() const { return has(16) || has(CUBLASLT_EPILOGUE_BGRADA) || has(CUBLASLT_EPILOGUE_BGRADB); }

    bool fits() const {
        const bool sizes = (d.trans_a == CUBLAS_OP_N ? a.rows : a.columns) == m() &&
                           (d.trans_b == CUBLAS_OP_N ? b.rows : b.columns) == k() &&
                           (d.trans_b == CUBLAS_OP_N ? b.columns : b.rows) == n() && c.rows == m() && c.columns == n();
        const bool steps = a.ld >= a.rows && b.ld >= b.rows && c.ld >= c.rows && y.ld >= y.rows;
        const bool batches = a.batch == y.batch && b.batch == y.batch && c.batch == y.batch;
        if (!sizes || !steps || !batches || c.type != y.type) return false;
        if ((sums() || has(CUBLASLT_EPILOGUE_BIAS)) && !d.vector) return false;
        if (sums() && y.batch > 1) return false;
        if (!keeps() && !backward()) return true;
        return d.aux && d.aux_ld >= m() && d.aux_ld % 8 == 0 && (y.batch == 1 || d.aux_stride % 8 == 0);
    }

    double element(const void* x, const Layout& l, std::int32_t trans, std::int64_t g, std::int64_t row,
                   std::int64_t column) const {
        return value(x, l.type, g * l.stride + (trans == CUBLAS_OP_N ? column * l.ld + row : row * l.ld + column));
    }

    void run(double alpha, const void* pa, const void* pb, double beta, const void* pc, void* py) const {
        for (std::int64_t i = 0; i < m(); ++i) {
            double row_sum = 0;
            for (std::int64_t g = 0; g < y.batch; ++g)
                for (std::int64_t j = 0; j < n(); ++j) {
                    double x = 0;
                    for (std::int64_t p = 0; p < k(); ++p)
                        x += element(pa, a, d.trans_a, g, i, p) * element(pb, b, d.trans_b, g, p, j);
                    x *= alpha;
                    if (beta != 0) x += beta * element(pc, c, CUBLAS_OP_N, g, i, j);
                    if (has(CUBLASLT_EPILOGUE_BIAS)) x += value(d.vector, y.type, i);
                    const std::int64_t aux = g * d.aux_stride + j * d.aux_ld + i;
                    if (keeps()) put(x, d.aux, y.type, aux);
                    if (backward()) x *= gelu_derivative(value(d.aux, y.type, aux));
                    if (has(CUBLASLT_EPILOGUE_GELU) && !backward()) x = gelu(x);
                    put(x, py, y.type, g * y.stride + j * y.ld + i);
                    row_sum += x;
                }
            if (has(CUBLASLT_EPILOGUE_DGELU_BGRAD)) put(row_sum, d.vector, y.type, i);
        }
        const auto along_k = [&](std::int64_t count, const std::function<double(std::int64_t, std::int64_t)>& at) {
            for (std::int64_t i = 0; i < count; ++i) {
                double sum = 0;
                for (std::int64_t p = 0; p < k(); ++p) sum += at(i, p);
                put(sum, d.vector, y.type, i);
            }
        };
        if (has(CUBLASLT_EPILOGUE_BGRADA))
            along_k(m(), [&](auto i, auto p) { return element(pa, a, d.trans_a, 0, i, p); });
        if (has(CUBLASLT_EPILOGUE_BGRADB))
            along_k(n(), [&](auto j, auto p) { return element(pb, b, d.trans_b, 0, p, j); });
    }
};

Call call_of(cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
             cublasLtMatrixLayout_t y) {
    return {as<Desc>(d), as<Layout>(a), as<Layout>(b), as<Layout>(c), as<Layout>(y)};
}

double number(const void* x, cudaDataType_t type) {
    return type == CUDA_R_64F ? *static_cast<const double*>(x) : static_cast<double>(*static_cast<const float*>(x));
}

}  // namespace

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* out) {
    static int one;
    *out = reinterpret_cast<cublasLtHandle_t>(&one);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t) { return CUBLAS_STATUS_SUCCESS; }
const char* cublasLtGetStatusString(cublasStatus_t status) {
    return status == CUBLAS_STATUS_INVALID_VALUE ? "invalid value" : "not supported";
}
size_t cublasLtGetVersion() { return 0; }

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* out, cublasComputeType_t compute, cudaDataType_t scale) {
    *out = reinterpret_cast<cublasLtMatmulDesc_t>(new Desc{compute, scale});
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) {
    delete &as<Desc>(d);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t to, cublasLtMatmulDescAttributes_t what,
                                              const void* from, size_t bytes) {
    Desc& d = as<Desc>(to);
    const auto copy = [&](auto& field) {
        if (bytes != sizeof field) return CUBLAS_STATUS_INVALID_VALUE;
        std::memcpy(&field, from, bytes);
        return CUBLAS_STATUS_SUCCESS;
    };
    switch (what) {
        case CUBLASLT_MATMUL_DESC_TRANSA: return copy(d.trans_a);
        case CUBLASLT_MATMUL_DESC_TRANSB: return copy(d.trans_b);
        case CUBLASLT_MATMUL_DESC_EPILOGUE: return copy(d.epilogue);
        case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return copy(d.vector);
        case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER: return copy(d.aux);
        case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD: return copy(d.aux_ld);
        case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE: return copy(d.aux_stride);
        default: return CUBLAS_STATUS_INVALID_VALUE;
    }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* out, cudaDataType type, std::uint64_t rows,
                                          std::uint64_t columns, std::int64_t ld) {
    *out = reinterpret_cast<cublasLtMatrixLayout_t>(
        new Layout{type, static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns), ld});
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l) {
    delete &as<Layout>(l);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t to, cublasLtMatrixLayoutAttribute_t what,
                                                const void* from, size_t bytes) {
    Layout& l = as<Layout>(to);
    if (what == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT && bytes == sizeof l.batch)
        std::memcpy(&l.batch, from, bytes);
    else if (what == CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET && bytes == sizeof l.stride)
        std::memcpy(&l.stride, from, bytes);
    else
        return CUBLAS_STATUS_INVALID_VALUE;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* out) {
    *out = new cublasLtMatmulPreferenceOpaque_t{};
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p) {
    delete p;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t,
                                                    const void*, size_t) {
    return CUBLAS_STATUS_SUCCESS;
}

/// Three, of which the first fails when it is run, as happens.
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                              cublasLtMatrixLayout_t y, cublasLtMatmulPreference_t, int wanted,
                                              cublasLtMatmulHeuristicResult_t* out, int* found) {
    *found = 0;
    const Call call = call_of(d, a, b, c, y);
    if (!call.fits()) return CUBLAS_STATUS_INVALID_VALUE;
    if (call.has(CUBLASLT_EPILOGUE_BGRADB) && call.y.type == CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    for (; *found < wanted && *found < 3; ++*found) {
        out[*found] = {};
        out[*found].state = CUBLAS_STATUS_SUCCESS;
        out[*found].algo.data[0] = static_cast<std::uint64_t>(*found);
        out[*found].algo.data[1] = call.d.epilogue;
    }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t d, const void* alpha, const void* pa,
                              cublasLtMatrixLayout_t a, const void* pb, cublasLtMatrixLayout_t b, const void* beta,
                              const void* pc, cublasLtMatrixLayout_t c, void* py, cublasLtMatrixLayout_t y,
                              const cublasLtMatmulAlgo_t* how, void* workspace, size_t, cudaStream_t) {
    const Call call = call_of(d, a, b, c, y);
    if (!call.fits() || !workspace || how->data[1] != call.d.epilogue) return CUBLAS_STATUS_INVALID_VALUE;
    if (how->data[0] == 0) return CUBLAS_STATUS_NOT_SUPPORTED;
    call.run(number(alpha, call.d.scale), pa, pb, number(beta, call.d.scale), pc, py);
    return CUBLAS_STATUS_SUCCESS;
}
}
