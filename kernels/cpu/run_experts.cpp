#include "kernels/cpu/run_experts.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/runner.hpp"

namespace wb::cpu {
namespace {

float sigmoid(float x) { return 1.0F / (1.0F + std::exp(-x)); }

/// The topk largest logits of a row, the smaller index first among equals.
template <class T>
void choose(const T* x, std::int64_t experts, std::int64_t topk, std::int32_t* index) {
    for (std::int64_t s = 0; s < topk; ++s) {
        std::int64_t best = -1;
        for (std::int64_t e = 0; e < experts; ++e) {
            if (best >= 0 && !(to_float(x[e]) > to_float(x[best]))) continue;
            if (std::find(index, index + s, static_cast<std::int32_t>(e)) != index + s) continue;
            best = e;
        }
        index[s] = static_cast<std::int32_t>(best);
    }
}

template <class T>
Runner gate(const Site& site) {
    const std::int64_t rows = Site::rows(site.in(0)), experts = Site::columns(site.in(0)), topk = site.a().topk;
    const auto scale = static_cast<float>(site.a().scale);
    const bool sigmoids = site.a().sigmoid;
    const int threads = site.threads();
    return {[=](Operands p) {
                const T* logits = input<T>(p, 0);
                auto* index = output<std::int32_t>(p, 1);
                float* weight = output<float>(p, 2);
#pragma omp parallel for num_threads(threads) schedule(static)
                for (std::int64_t r = 0; r < rows; ++r) {
                    const T* x = logits + r * experts;
                    std::int32_t* chosen = index + r * topk;
                    choose(x, experts, topk, chosen);
                    float sum = 0;
                    for (std::int64_t s = 0; s < topk; ++s) {
                        const float logit = to_float(x[chosen[s]]);
                        sum += weight[r * topk + s] =
                            sigmoids ? sigmoid(logit) : std::exp(logit - to_float(x[chosen[0]]));
                    }
                    for (std::int64_t s = 0; s < topk; ++s) weight[r * topk + s] *= scale / sum;
                }
            },
            {}};
}

template <class T>
Runner gate_backward(const Site& site) {
    const std::int64_t rows = Site::rows(site.in(1)), experts = Site::columns(site.in(1)), topk = site.a().topk;
    const auto scale = static_cast<float>(site.a().scale);
    const bool sigmoids = site.a().sigmoid;
    const int threads = site.threads();
    return {[=](Operands p) {
                const float *dgate = input<float>(p, 0), *gates = input<float>(p, 3);
                const T* logits = input<T>(p, 1);
                const auto* index = input<std::int32_t>(p, 2);
                T* dx = output<T>(p, 4);
#pragma omp parallel for num_threads(threads) schedule(static)
                for (std::int64_t r = 0; r < rows; ++r) {
                    const T* x = logits + r * experts;
                    float mean = 0, sum = 0;  // the gates, without scale, are weights with sum 1
                    std::fill_n(dx + r * experts, experts, T{});
                    for (std::int64_t i = r * topk; i < (r + 1) * topk; ++i) {
                        mean += dgate[i] * gates[i] / scale;
                        if (sigmoids) sum += sigmoid(to_float(x[index[i]]));
                    }
                    for (std::int64_t i = r * topk; i < (r + 1) * topk; ++i) {
                        const float pull = scale * (dgate[i] - mean), score = sigmoid(to_float(x[index[i]]));
                        dx[r * experts + index[i]] =
                            from_float<T>(sigmoids ? pull / sum * score * (1 - score) : pull * gates[i] / scale);
                    }
                }
            },
            {}};
}

template <class T>
Runner dispatch(const Site& site) {
    const std::int64_t rows = Site::rows(site.out(0)), cols = Site::columns(site.out(0)), topk = site.a().topk;
    const auto order = std::make_shared<ExpertRows>(rows, site.a().experts);
    const int threads = site.threads();
    return {[=](Operands p) {
                const T* x = input<T>(p, 0);
                T* y = output<T>(p, 2);
                order->sort(input<std::int32_t>(p, 1));
#pragma omp parallel for num_threads(threads) schedule(static)
                for (std::int64_t r = 0; r < rows; ++r)
                    std::copy_n(x + order->source[r] / topk * cols, cols, y + r * cols);
            },
            {}};
}

/// The rows of each token, in the order of its slots: a token's sum is then one thread's.
std::vector<std::int64_t>& invert(const ExpertRows& order, std::vector<std::int64_t>& row_of) {
    for (std::size_t r = 0; r < row_of.size(); ++r) row_of[order.source[r]] = static_cast<std::int64_t>(r);
    return row_of;
}

constexpr std::int64_t piece = 512;  // features summed at a time: they stay in the nearest cache

template <class T>
Runner combine(const Site& site) {
    const std::int64_t rows = Site::rows(site.in(0)), cols = Site::columns(site.in(0)), topk = site.a().topk;
    const auto order = std::make_shared<ExpertRows>(rows, site.a().experts);
    const auto row_of = std::make_shared<std::vector<std::int64_t>>(rows);
    const bool weighted = site.inputs() > 2;
    const std::size_t result = site.inputs();
    const int threads = site.threads();
    return {[=](Operands p) {
                const T* x = input<T>(p, 0);
                const float* weight = weighted ? input<float>(p, 2) : nullptr;
                T* y = output<T>(p, result);
                order->sort(input<std::int32_t>(p, 1));
                invert(*order, *row_of);
#pragma omp parallel for num_threads(threads) schedule(static)
                for (std::int64_t t = 0; t < rows / topk; ++t)
                    for (std::int64_t first = 0; first < cols; first += piece) {
                        const std::int64_t count = std::min(piece, cols - first);
                        float sum[piece] = {};
                        for (std::int64_t i = t * topk; i < (t + 1) * topk; ++i) {
                            const T* from = x + (*row_of)[i] * cols + first;
                            const float factor = weight ? weight[i] : 1.0F;
#pragma omp simd
                            for (std::int64_t j = 0; j < count; ++j) sum[j] += factor * to_float(from[j]);
                        }
#pragma omp simd
                        for (std::int64_t j = 0; j < count; ++j) y[t * cols + first + j] = from_float<T>(sum[j]);
                    }
            },
            {}};
}

template <class T>
Runner combine_backward(const Site& site) {
    const std::int64_t rows = Site::rows(site.in(1)), cols = Site::columns(site.in(1)), topk = site.a().topk;
    const auto order = std::make_shared<ExpertRows>(rows, site.a().experts);
    const int threads = site.threads();
    return {[=](Operands p) {
                const T *dy = input<T>(p, 0), *x = input<T>(p, 1);
                const float* gates = input<float>(p, 3);
                T* dx = output<T>(p, 4);
                float* dgate = output<float>(p, 5);
                order->sort(input<std::int32_t>(p, 2));
#pragma omp parallel for num_threads(threads) schedule(static)
                for (std::int64_t r = 0; r < rows; ++r) {
                    const std::int64_t source = order->source[r];
                    const T *from = dy + source / topk * cols, *in = x + r * cols;
                    const float weight = gates[source];
                    float sum = 0;
#pragma omp simd reduction(+ : sum)
                    for (std::int64_t j = 0; j < cols; ++j) {
                        dx[r * cols + j] = from_float<T>(weight * to_float(from[j]));
                        sum += to_float(from[j]) * to_float(in[j]);
                    }
                    dgate[source] = sum;
                }
            },
            {}};
}

}  // namespace

Runner make_experts(const Site& site) {
    const OpKind kind = site.op.kind;
    const DType type = site.in(kind == OpKind::topk_gate_backward ? 1 : 0).dtype;
    return with_type(type, [&]<class T>(T) {
        switch (kind) {
            case OpKind::topk_gate: return gate<T>(site);
            case OpKind::topk_gate_backward: return gate_backward<T>(site);
            case OpKind::moe_dispatch: return dispatch<T>(site);
            case OpKind::moe_combine: return combine<T>(site);
            default: return combine_backward<T>(site);
        }
    });
}

}  // namespace wb::cpu
