#pragma once

#include <cstdint>
#include <string>

namespace wb::cpu {

/// One row-major product C = op(A) op(B) + beta C; leading dimensions in elements.
template <class T>
struct BlasProduct {
    bool trans_a, trans_b;
    std::int64_t m, n, k;
    const T* a;
    std::int64_t lda;
    const T* b;
    std::int64_t ldb;
    T beta;
    T* c;
    std::int64_t ldc;
};

/// OpenBLAS, opened at run time: the processor it tunes for can only be chosen before it is loaded.
class OpenBlas {
public:
    /// The library of this process, loaded on first use. Throws wb::Error if it is not installed.
    static const OpenBlas& instance();
    static bool available() noexcept;

    OpenBlas(const OpenBlas&) = delete;
    OpenBlas& operator=(const OpenBlas&) = delete;

    void gemm(const BlasProduct<double>& p, int threads) const;
    void gemm(const BlasProduct<float>& p, int threads) const;
    /// As gemm, for callers that are themselves inside a parallel region: one thread, no setting touched.
    void gemm_serial(const BlasProduct<double>& p) const;
    void gemm_serial(const BlasProduct<float>& p) const;

    /// "OpenBLAS 0.3.21 SkylakeX".
    const std::string& name() const { return name_; }

private:
    OpenBlas();

    template <class T>
    using Gemm = void (*)(int, int, int, int, int, int, T, const T*, int, const T*, int, T, T*, int);

    Gemm<double> dgemm_ = nullptr;
    Gemm<float> sgemm_ = nullptr;
    void (*set_threads_)(int) = nullptr;
    std::string name_;
};

/// OpenBLAS' name of the processor this program asks for, by what the processor can do, or "" to leave the choice to
/// the library. WB_OPENBLAS_CORETYPE in the environment wins. `gemm_bench --core-types` shows the speed of each.
std::string openblas_core_type();

}  // namespace wb::cpu
