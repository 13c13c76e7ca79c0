#include "kernels/cpu/runner.hpp"
#include "kernels/cpu/vector_ops.hpp"

namespace wb::cpu {

Runner make_update(const Site& site) {
    const Attributes& a = site.a();
    const std::int64_t n = elements(site.in(0).shape);
    const AdamW fixed{static_cast<float>(a.rate), static_cast<float>(a.beta1), static_cast<float>(a.beta2),
                      static_cast<float>(a.eps),  static_cast<float>(a.decay), 1};
    const std::int64_t* const step = &site.setup.step;
    const int threads = site.threads();
    const auto now = [fixed, step] {
        AdamW how = fixed;
        how.step = *step;
        return how;
    };
    if (site.in(0).dtype == DType::f32) {
        WB_EXPECT(site.inputs() == 4);
        return {[=](Operands p) {
                    adamw(output<float>(p, 0), input<float>(p, 1), output<float>(p, 2), output<float>(p, 3), n, now(),
                          threads);
                },
                {}};
    }
    WB_EXPECT(site.in(0).dtype == DType::bf16 && site.inputs() == 5);
    return {[=](Operands p) {
                adamw(output<float>(p, 4), input<bf16>(p, 1), output<float>(p, 2), output<float>(p, 3),
                      output<bf16>(p, 0), n, now(), threads);
            },
            {}};
}

}  // namespace wb::cpu
