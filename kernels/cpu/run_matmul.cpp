#include "kernels/cpu/run_matmul.hpp"

namespace wb::cpu {

GemmType product_type(DType type) {
    if (type == DType::f64) return GemmType::f64;
    WB_EXPECT(type == DType::f32 || type == DType::bf16);
    return type == DType::f32 ? GemmType::f32 : GemmType::bf16;
}

GemmShape product_shape(const Site& site) {
    const Shape &c = site.out(0).shape, &b = site.in(1).shape;
    const std::size_t n = c.size();
    GemmShape s;
    s.trans_a = site.a().trans_a;
    s.trans_b = site.a().trans_b;
    s.m = c[n - 2];
    s.n = c[n - 1];
    s.k = b[b.size() - (s.trans_b ? 1 : 2)];
    s.batch = elements(c) / (s.m * s.n);
    s.bias = site.inputs() > 2;
    if (s.batch > 1) {
        s.stride_a = s.m * s.k;
        s.stride_b = b.size() > 2 ? s.k * s.n : 0;
        s.stride_c = s.m * s.n;
    }
    return s;
}

Runner make_matmul(const Site& site) {
    const auto product = std::make_shared<Gemm>(product_shape(site), product_type(site.out(0).dtype), site.threads());
    const std::string library = product->library();
    if (site.inputs() > 2) return {[product](Operands p) { (*product)(p[0], p[1], p[2], p[3]); }, library};
    return {[product](Operands p) { (*product)(p[0], p[1], nullptr, p[2]); }, library};
}

}  // namespace wb::cpu
