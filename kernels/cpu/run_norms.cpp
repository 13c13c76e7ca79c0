// A vector square root cannot set errno.
#pragma GCC optimize("no-math-errno")

#include <cmath>

#include "kernels/cpu/runner.hpp"
#include "kernels/cpu/vector_ops.hpp"

namespace wb::cpu {
namespace {

/// The statistics a backward pass needs, from x again: reading x once is cheaper than keeping them for every layer.
template <class T>
void statistics(const T* x, float* mean, float* inverse, std::int64_t rows, std::int64_t cols, float eps, bool centred, int threads) {
    const float part = 1.0F / static_cast<float>(cols);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::int64_t r = 0; r < rows; ++r) {
        const T* row = x + r * cols;
        float middle = 0, square = 0;
        if (centred) {
#pragma omp simd reduction(+ : middle)
            for (std::int64_t j = 0; j < cols; ++j) middle += to_float(row[j]);
            middle *= part;
        }
#pragma omp simd reduction(+ : square)
        for (std::int64_t j = 0; j < cols; ++j) {
            const float d = to_float(row[j]) - middle;
            square += d * d;
        }
        mean[r] = middle;
        inverse[r] = 1.0F / std::sqrt(square * part + eps);
    }
}

template <class T>
Runner forward(const Site& site, bool centred) {
    const std::int64_t rows = Site::rows(site.in(0)), cols = Site::columns(site.in(0));
    const auto eps = static_cast<float>(site.a().eps);
    const int threads = site.threads();
    if (centred)
        return {[=](Operands p) {
                    layernorm(input<T>(p, 0), input<T>(p, 1), input<T>(p, 2), output<T>(p, 3), nullptr, nullptr, rows, cols, eps,
                              threads);
                },
                {}};
    return {[=](Operands p) { rmsnorm(input<T>(p, 0), input<T>(p, 1), output<T>(p, 2), nullptr, rows, cols, eps, threads); }, {}};
}

template <class T>
Runner backward(const Site& site, bool centred) {
    const std::int64_t rows = Site::rows(site.in(1)), cols = Site::columns(site.in(1));
    const auto eps = static_cast<float>(site.a().eps);
    const int threads = site.threads();
    site.setup.scratch.reserve((2 * rows + 2 * cols) * static_cast<std::int64_t>(sizeof(float)));
    Scratch* const scratch = &site.setup.scratch;
    return {[=](Operands p) {
                float *mean = scratch->as<float>(), *inverse = mean + rows, *dgamma = inverse + rows, *dbeta = dgamma + cols;
                statistics(input<T>(p, 1), mean, inverse, rows, cols, eps, centred, threads);
                if (centred) {
                    layernorm_backward(input<T>(p, 1), input<T>(p, 2), mean, inverse, input<T>(p, 0), output<T>(p, 3), dgamma,
                                       dbeta, rows, cols, threads);
                    narrow(dbeta, output<T>(p, 5), cols, threads);
                } else {
                    rmsnorm_backward(input<T>(p, 1), input<T>(p, 2), inverse, input<T>(p, 0), output<T>(p, 3), dgamma, rows, cols,
                                     threads);
                }
                narrow(dgamma, output<T>(p, 4), cols, threads);
            },
            {}};
}

}  // namespace

Runner make_norm(const Site& site) {
    const OpKind kind = site.op.kind;
    const bool centred = kind == OpKind::layernorm || kind == OpKind::layernorm_backward;
    const bool first = kind == OpKind::layernorm || kind == OpKind::rmsnorm;
    return with_type(site.out(0).dtype,
                     [&]<class T>(T) { return first ? forward<T>(site, centred) : backward<T>(site, centred); });
}

}  // namespace wb::cpu
