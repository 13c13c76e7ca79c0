#include <limits>

#include "kernels/cpu/gemm_engine.hpp"
#include "kernels/cpu/openblas.hpp"

namespace wb::cpu {

namespace {

template <class T>
class OpenBlasGemm final : public GemmEngine {
public:
    OpenBlasGemm(const GemmShape& shape, int threads)
        : library_(OpenBlas::instance()), shape_(shape), threads_(threads) {}

    void run(const void* a, const void* b, const void* bias, void* c) override {
        const GemmShape& s = shape_;
        if (s.bias) place_bias(s, static_cast<const T*>(bias), static_cast<T*>(c), threads_);
        if (s.batch >= 2 * threads_ && threads_ > 1) {
#pragma omp parallel for num_threads(threads_) schedule(static)
            for (std::int64_t i = 0; i < s.batch; ++i) library_.gemm_serial(product(i, a, b, c));
            return;
        }
        for (std::int64_t i = 0; i < s.batch; ++i) library_.gemm(product(i, a, b, c), threads_);
    }

    std::string library() const override { return library_.name(); }

private:
    BlasProduct<T> product(std::int64_t i, const void* a, const void* b, void* c) const {
        const GemmShape& s = shape_;
        return {s.trans_a,
                s.trans_b,
                s.m,
                s.n,
                s.k,
                static_cast<const T*>(a) + i * s.stride_a,
                s.trans_a ? s.m : s.k,
                static_cast<const T*>(b) + i * s.stride_b,
                s.trans_b ? s.k : s.n,
                T(s.bias || s.accumulate ? 1 : 0),
                static_cast<T*>(c) + i * s.stride_c,
                s.n};
    }

    const OpenBlas& library_;
    GemmShape shape_;
    int threads_;
};

}  // namespace

std::unique_ptr<GemmEngine> make_openblas_gemm(const GemmShape& shape, GemmType type, int threads) {
    constexpr std::int64_t largest = std::numeric_limits<int>::max();
    if (shape.m > largest || shape.n > largest || shape.k > largest) return nullptr;
    if (type == GemmType::f64) return std::make_unique<OpenBlasGemm<double>>(shape, threads);
    if (type == GemmType::f32 && OpenBlas::available()) return std::make_unique<OpenBlasGemm<float>>(shape, threads);
    return nullptr;
}

}  // namespace wb::cpu
