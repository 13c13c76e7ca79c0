#include "kernels/cpu/runner.hpp"
#include "kernels/cpu/vector_ops.hpp"

namespace wb::cpu {
namespace {

template <class T>
Runner forward(const Site& site, bool centred) {
    const std::int64_t heads = site.a().heads;
    const std::int64_t rows = Site::rows(site.in(0)) * heads, cols = Site::columns(site.in(0)) / heads;
    const auto eps = static_cast<float>(site.a().eps);
    const int threads = site.threads();
    if (centred)
        return {[=](Operands p) {
                    layernorm(input<T>(p, 0), input<T>(p, 1), input<T>(p, 2), output<T>(p, 3), nullptr, nullptr, rows,
                              cols, eps, threads);
                },
                {}};
    return {[=](Operands p) {
                rmsnorm(input<T>(p, 0), input<T>(p, 1), output<T>(p, 2), nullptr, rows, cols, eps, threads);
            },
            {}};
}

template <class T>
Runner backward(const Site& site, bool centred) {
    const std::int64_t heads = site.a().heads;
    const std::int64_t rows = Site::rows(site.in(1)) * heads, cols = Site::columns(site.in(1)) / heads;
    const auto eps = static_cast<float>(site.a().eps);
    const int threads = site.threads();
    site.setup.scratch.reserve((2 * rows + 2 * cols) * static_cast<std::int64_t>(sizeof(float)));
    Scratch* const scratch = &site.setup.scratch;
    return {[=](Operands p) {
                float *mean = scratch->as<float>(), *inverse = mean + rows, *dgamma = inverse + rows,
                      *dbeta = dgamma + cols;
                if (centred) {
                    layernorm_statistics(input<T>(p, 1), mean, inverse, rows, cols, eps, threads);
                    layernorm_backward(input<T>(p, 1), input<T>(p, 2), mean, inverse, input<T>(p, 0), output<T>(p, 3),
                                       dgamma, dbeta, rows, cols, threads);
                    narrow(dbeta, output<T>(p, 5), cols, threads);
                } else {
                    rmsnorm_statistics(input<T>(p, 1), inverse, rows, cols, eps, threads);
                    rmsnorm_backward(input<T>(p, 1), input<T>(p, 2), inverse, input<T>(p, 0), output<T>(p, 3), dgamma,
                                     rows, cols, threads);
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
