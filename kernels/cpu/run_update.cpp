// A vector square root cannot set errno, so without this the loop would stay scalar.
#pragma GCC optimize("no-math-errno")

#include <cmath>

#include "kernels/cpu/runner.hpp"
#include "kernels/cpu/vector_ops.hpp"

namespace wb::cpu {
namespace {

/// A bf16 weight beside its f32 master copy; the weight is the rounded copy.
void adamw_master(bf16* weight, const bf16* gradient, float* m, float* v, float* master, std::int64_t n, const AdamW& how,
                  int threads) {
    const auto step = static_cast<double>(how.step);
    const auto rate = static_cast<float>(how.lr / (1.0 - std::pow(static_cast<double>(how.beta1), step)));
    const auto unbias = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(static_cast<double>(how.beta2), step)));
    const float keep = 1.0F - how.lr * how.weight_decay, beta1 = how.beta1, beta2 = how.beta2, eps = how.eps;
#pragma omp parallel for simd num_threads(threads) schedule(static) if (parallel : n > 16384)
    for (std::int64_t i = 0; i < n; ++i) {
        const float g = to_float(gradient[i]);
        const float first = beta1 * m[i] + (1.0F - beta1) * g;
        const float second = beta2 * v[i] + (1.0F - beta2) * g * g;
        m[i] = first;
        v[i] = second;
        const float w = keep * master[i] - rate * first / (std::sqrt(second) * unbias + eps);
        master[i] = w;
        weight[i] = to_bf16(w);
    }
}

}  // namespace

Runner make_update(const Site& site) {
    const Attributes& a = site.a();
    const std::int64_t n = elements(site.in(0).shape);
    const AdamW fixed{static_cast<float>(a.rate), static_cast<float>(a.beta1), static_cast<float>(a.beta2),
                      static_cast<float>(a.eps), static_cast<float>(a.decay), 1};
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
                    adamw(output<float>(p, 0), input<float>(p, 1), output<float>(p, 2), output<float>(p, 3), n, now(), threads);
                },
                {}};
    }
    WB_EXPECT(site.in(0).dtype == DType::bf16 && site.inputs() == 5);
    return {[=](Operands p) {
                adamw_master(output<bf16>(p, 0), input<bf16>(p, 1), output<float>(p, 2), output<float>(p, 3), output<float>(p, 4),
                             n, now(), threads);
            },
            {}};
}

}  // namespace wb::cpu
