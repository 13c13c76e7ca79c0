#include <algorithm>

#include "kernels/cpu/gemm_engine.hpp"
#include "kernels/cpu/run_experts.hpp"
#include "kernels/cpu/runner.hpp"

namespace wb::cpu {
namespace {

/// How many rows meet each expert is known only while running, so these products are called by size, not prepared.
/// Few rows read an expert once and are bound by memory: those engines are prepared for every such count.
constexpr std::int64_t most_gemv_rows = 8;

struct Experts {
    std::int64_t experts, rows, k, n;
    bool trans_b;
    ExpertRows order;
    std::vector<std::unique_ptr<GemmEngine>> few;  // by rows - 1
};

/// y = x w for the rows of one expert; bf16 operands are widened into scratch [rows * k + k * n + rows * n].
template <class T>
void product(const BlasProduct<float>& shape, const T* x, const T* w, T* y, float* scratch, int threads) {
    BlasProduct<float> p = shape;
    if constexpr (std::is_same_v<T, float>) {
        p.a = x;
        p.b = w;
        p.c = y;
        onednn_sgemm(p);
    } else {
        float *wide_x = scratch, *wide_w = wide_x + p.m * p.k, *wide_y = wide_w + p.k * p.n;
        widen(x, wide_x, p.m * p.k, threads);
        widen(w, wide_w, p.k * p.n, threads);
        p.a = wide_x;
        p.b = wide_w;
        p.c = wide_y;
        onednn_sgemm(p);
        narrow(wide_y, y, p.m * p.n, threads);
    }
}

template <class T>
void prepare_few(Experts& e, int threads) {
    const GemmType type = std::is_same_v<T, float> ? GemmType::f32 : GemmType::bf16;
    for (std::int64_t m = 1; m <= std::min(most_gemv_rows, e.rows); ++m) {
        GemmShape s;
        s.m = m;
        s.n = e.n;
        s.k = e.k;
        s.trans_b = e.trans_b;
        e.few.push_back(make_gemv(s, type, threads));
    }
}

template <class T>
Runner forward(const Site& site) {
    const std::int64_t rows = Site::rows(site.in(0)), k = Site::columns(site.in(0)), n = Site::columns(site.out(0));
    const auto e = std::make_shared<Experts>(
        Experts{site.a().experts, rows, k, n, site.a().trans_b, ExpertRows(rows, site.a().experts), {}});
    const int threads = site.threads();
    prepare_few<T>(*e, threads);
    Scratch* const scratch = &site.setup.scratch;
    if (sizeof(T) < sizeof(float)) scratch->reserve((rows * k + k * n + rows * n) * static_cast<std::int64_t>(sizeof(float)));
    return {[=](Operands p) {
                const ThreadScope scope(threads);
                e->order.sort(input<std::int32_t>(p, 2));
                for (std::int64_t i = 0; i < e->experts; ++i) {
                    const std::int64_t at = e->order.first[i], m = e->order.first[i + 1] - at;
                    if (m == 0) continue;
                    const T *x = input<T>(p, 0) + at * k, *w = input<T>(p, 1) + i * k * n;
                    T* y = output<T>(p, 3) + at * n;
                    if (m <= most_gemv_rows && e->few[m - 1]) e->few[m - 1]->run(x, w, nullptr, y);
                    else
                        product({false, e->trans_b, m, n, k, nullptr, k, nullptr, e->trans_b ? k : n, 0.0F, nullptr, n}, x, w, y,
                                scratch->as<float>(), threads);
                }
            },
            "oneDNN sgemm for each expert"};
}

/// dw[e] = x^T y over the rows of expert e.
template <class T>
Runner gradient(const Site& site) {
    const std::int64_t rows = Site::rows(site.in(0)), m = Site::columns(site.in(0)), n = Site::columns(site.in(1));
    const std::int64_t experts = site.a().experts;
    const auto order = std::make_shared<ExpertRows>(rows, experts);
    const int threads = site.threads();
    Scratch* const scratch = &site.setup.scratch;
    if (sizeof(T) < sizeof(float)) scratch->reserve((rows * (m + n) + m * n) * static_cast<std::int64_t>(sizeof(float)));
    return {[=](Operands p) {
                const ThreadScope scope(threads);
                order->sort(input<std::int32_t>(p, 2));
                for (std::int64_t i = 0; i < experts; ++i) {
                    const std::int64_t at = order->first[i], k = order->first[i + 1] - at;
                    T* to = output<T>(p, 3) + i * m * n;
                    if (k == 0) std::fill_n(to, m * n, T{});
                    else
                        product({true, false, m, n, k, nullptr, m, nullptr, n, 0.0F, nullptr, n}, input<T>(p, 0) + at * m,
                                input<T>(p, 1) + at * n, to, scratch->as<float>(), threads);
                }
            },
            "oneDNN sgemm for each expert"};
}

}  // namespace

Runner make_grouped_matmul(const Site& site) {
    return with_type(site.out(0).dtype,
                     [&]<class T>(T) { return site.a().trans_a ? gradient<T>(site) : forward<T>(site); });
}

}  // namespace wb::cpu
