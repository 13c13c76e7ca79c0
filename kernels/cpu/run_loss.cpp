#include <algorithm>
#include <cmath>

#include "kernels/cpu/runner.hpp"
#include "kernels/cpu/vector_rows.hpp"

namespace wb::cpu {
namespace {

/// What one shard of the columns knows of a row's loss.
struct Part {
    float largest, sum, target;  // sum of exp(x - largest); target: its logit, 0 if another shard has it
};

template <class T>
Part part(const T* x, std::int64_t n, std::int64_t target) {
    const RowSum row = row_sum_of_exp(x, n);
    Part p{row.largest, row.sum, 0};
    if (target >= 0 && target < n) p.target = to_float(x[target]);
    return p;
}

template <class T>
Runner forward(const Site& site) {
    const std::int64_t rows = Site::rows(site.in(0)), n = Site::columns(site.in(0)), offset = site.a().offset;
    const bool shared = site.a().ranks > 1;
    const int threads = site.threads();
    return {[=](Operands p) {
                const T* logits = input<T>(p, 0);
                const auto* target = input<std::int32_t>(p, 1);
                float *first = output<float>(p, 2), *lse = shared ? nullptr : output<float>(p, 3);
#pragma omp parallel for num_threads(threads) schedule(static)
                for (std::int64_t r = 0; r < rows; ++r) {
                    const Part x = part(logits + r * n, n, target[r] - offset);
                    if (shared) {
                        first[3 * r] = x.largest;
                        first[3 * r + 1] = x.sum;
                        first[3 * r + 2] = x.target;
                    } else {
                        lse[r] = x.largest + std::log(x.sum);
                        first[r] = lse[r] - x.target;
                    }
                }
            },
            {}};
}

template <class T>
Runner backward(const Site& site) {
    const std::int64_t rows = Site::rows(site.in(0)), n = Site::columns(site.in(0)), offset = site.a().offset;
    const auto scale = static_cast<float>(site.a().scale);
    const int threads = site.threads();
    return {[=](Operands p) {
                const T* logits = input<T>(p, 0);
                const auto* target = input<std::int32_t>(p, 1);
                const float* lse = input<float>(p, 2);
                T* dx = output<T>(p, 3);
#pragma omp parallel for num_threads(threads) schedule(static)
                for (std::int64_t r = 0; r < rows; ++r) {
                    const T* x = logits + r * n;
                    T* to = dx + r * n;
                    const float whole = lse[r];
                    each_vector(0, n, [=](const auto& at, int) { at.store(to, scale * exp_of(at.load(x) - whole)); });
                    const std::int64_t t = target[r] - offset;
                    if (t >= 0 && t < n) to[t] = from_float<T>(scale * (exp_of(to_float(x[t]) - whole) - 1.0F));
                }
            },
            {}};
}

/// Parts [ranks, rows, 3] of all shards to loss and logarithm of the sum.
Runner join(const Site& site) {
    const std::int64_t rows = elements(site.out(0).shape), ranks = site.a().ranks;
    return {[=](Operands p) {
                const float* parts = input<float>(p, 0);
                float *loss = output<float>(p, 1), *lse = output<float>(p, 2);
                for (std::int64_t r = 0; r < rows; ++r) {
                    float largest = parts[3 * r], sum = 0, target = 0;
                    for (std::int64_t k = 1; k < ranks; ++k) largest = std::max(largest, parts[3 * (k * rows + r)]);
                    for (std::int64_t k = 0; k < ranks; ++k) {
                        const float* one = parts + 3 * (k * rows + r);
                        sum += one[1] * std::exp(one[0] - largest);
                        target += one[2];
                    }
                    lse[r] = largest + std::log(sum);
                    loss[r] = lse[r] - target;
                }
            },
            {}};
}

}  // namespace

Runner make_loss(const Site& site) {
    if (site.op.kind == OpKind::cross_entropy_join) return join(site);
    return with_type(site.in(0).dtype, [&]<class T>(T) {
        return site.op.kind == OpKind::cross_entropy ? forward<T>(site) : backward<T>(site);
    });
}

}  // namespace wb::cpu
