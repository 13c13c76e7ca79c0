#include "kernels/cpu/gemm.hpp"

#include "core/error.hpp"
#include "kernels/cpu/gemm_engine.hpp"
#include "kernels/cpu/openblas.hpp"

namespace wb::cpu {

namespace {

void check(const GemmShape& s, int threads) {
    WB_EXPECT(s.m > 0 && s.n > 0 && s.k > 0 && s.batch > 0);
    WB_EXPECT(s.stride_a >= 0 && s.stride_b >= 0);
    WB_EXPECT(s.batch == 1 || s.stride_c >= s.m * s.n);
    WB_EXPECT(threads >= 1);
}

/// Rows of all batches that meet the same B are one taller product.
GemmShape flatten(GemmShape s) {
    const bool one_b = s.stride_b == 0 && !s.trans_a && s.stride_a == s.m * s.k && s.stride_c == s.m * s.n;
    if (s.batch > 1 && one_b) {
        s.m *= s.batch;
        s.batch = 1;
    }
    if (s.batch == 1) s.stride_a = s.stride_b = s.stride_c = 0;
    return s;
}

[[noreturn]] void refuse(GemmType type) {
    if (type == GemmType::f64) OpenBlas::instance();  // explains itself
    throw Error({"gemm", "no library here computes this product", "oneDNN refused the element type or the layout",
                 "Use float32."},
                Exit::environment);
}

}  // namespace

ElementSizes element_sizes(GemmType type) {
    switch (type) {
        case GemmType::f64: return {8, 8};
        case GemmType::f32: return {4, 4};
        case GemmType::bf16: return {2, 2};
        case GemmType::bf16_f32: return {2, 4};
        case GemmType::int8_int32: return {1, 4};
    }
    WB_EXPECT(!"a type of GemmType");
    return {};
}

Extents extents(const GemmShape& s) {
    const std::int64_t last = s.batch - 1;
    return {last * s.stride_a + s.m * s.k, last * s.stride_b + s.k * s.n, last * s.stride_c + s.m * s.n};
}

Gemm::Gemm(const GemmShape& shape, GemmType type, int threads) {
    check(shape, threads);
    engine_ = make_fastest_gemm(flatten(shape), type, threads);
    if (!engine_) refuse(type);
}

Gemm::Gemm(const GemmShape& shape, GemmType type, int threads, const GemmShape& whole) {
    check(shape, threads);
    engine_ = make_gemm_of_part(flatten(shape), type, threads, flatten(whole));
    if (!engine_) refuse(type);
}

Gemm::~Gemm() = default;
Gemm::Gemm(Gemm&&) noexcept = default;
Gemm& Gemm::operator=(Gemm&&) noexcept = default;

void Gemm::operator()(const void* a, const void* b, const void* bias, void* c) { engine_->run(a, b, bias, c); }

std::string Gemm::library() const { return engine_->library(); }

}  // namespace wb::cpu
