// A vector square root cannot set errno, so without this the loop would stay scalar.
#pragma GCC optimize("no-math-errno")

#include <cmath>

#include "core/error.hpp"
#include "kernels/cpu/vector_ops.hpp"

namespace wb::cpu {

void adamw(float* parameter, const float* gradient, float* m, float* v, std::int64_t n, const AdamW& how, int threads) {
    WB_EXPECT(n >= 0 && threads >= 1 && how.step >= 1);
    const double step = static_cast<double>(how.step);
    const auto rate = static_cast<float>(how.lr / (1.0 - std::pow(static_cast<double>(how.beta1), step)));
    const auto unbias = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(static_cast<double>(how.beta2), step)));
    const float keep = 1.0F - how.lr * how.weight_decay;
    const float beta1 = how.beta1, beta2 = how.beta2, eps = how.eps;
#pragma omp parallel for simd num_threads(threads) schedule(static) if (parallel : threads > 1)
    for (std::int64_t i = 0; i < n; ++i) {
        const float g = gradient[i];
        const float first = beta1 * m[i] + (1.0F - beta1) * g;
        const float second = beta2 * v[i] + (1.0F - beta2) * g * g;
        m[i] = first;
        v[i] = second;
        parameter[i] = keep * parameter[i] - rate * first / (std::sqrt(second) * unbias + eps);
    }
}

}  // namespace wb::cpu
