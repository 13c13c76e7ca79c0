#include "kernels/cpu/runner.hpp"
#include "kernels/cpu/vector_loop.hpp"
#include "kernels/cpu/vector_ops.hpp"

namespace wb::cpu {
namespace {

/// dx = y * (dy - sum(dy * y)), row by row.
template <class T>
void softmax_backward(const T* dy, const T* y, T* dx, std::int64_t rows, std::int64_t cols, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::int64_t r = 0; r < rows; ++r) {
        Apart products;
        const std::int64_t first = r * cols;
        each_vector(first, first + cols, [&](const auto& at, int k) { products.of[k] += at.load(dy) * at.load(y); });
        const float mean = products.sum();
        each_vector(first, first + cols, [&](const auto& at, int) {
            ask_for(dy + at.i, cols);
            ask_for(y + at.i, cols);
            at.store(dx, at.load(y) * (at.load(dy) - mean));
        });
    }
}

template <class T>
Runner column_sums(const Site& site) {
    const std::int64_t rows = Site::rows(site.in(0)), cols = Site::columns(site.in(0));
    const int threads = site.threads();
    Scratch* const scratch = &site.setup.scratch;
    scratch->reserve(cols * static_cast<std::int64_t>(sizeof(float)));
    return {[=](Operands p) {
                float* const sums = scratch->as<float>();
                sum_rows(input<T>(p, 0), sums, rows, cols, threads);
                narrow(sums, output<T>(p, 1), cols, threads);
            },
            {}};
}

template <class T>
std::function<void(Operands)> bind(const Site& site) {
    const std::int64_t rows = Site::rows(site.in(0)), cols = Site::columns(site.in(0)), n = rows * cols;
    const GeluForm form = site.a().tanh_form ? GeluForm::tanh : GeluForm::erf;
    const int threads = site.threads();
    switch (site.op.kind) {
        case OpKind::softmax:
            return [=](Operands p) { softmax(input<T>(p, 0), output<T>(p, 1), rows, cols, 1.0F, threads); };
        case OpKind::softmax_backward:
            return [=](Operands p) {
                softmax_backward(input<T>(p, 0), input<T>(p, 1), output<T>(p, 2), rows, cols, threads);
            };
        case OpKind::gelu: return [=](Operands p) { gelu(input<T>(p, 0), output<T>(p, 1), n, form, threads); };
        case OpKind::gelu_backward:
            return
                [=](Operands p) { gelu_backward(input<T>(p, 1), input<T>(p, 0), output<T>(p, 2), n, form, threads); };
        case OpKind::silu_mul:
            return [=](Operands p) { silu_mul(input<T>(p, 0), input<T>(p, 1), output<T>(p, 2), n, threads); };
        case OpKind::silu_mul_backward:
            return [=](Operands p) {
                silu_mul_backward(input<T>(p, 1), input<T>(p, 2), input<T>(p, 0), output<T>(p, 3), output<T>(p, 4), n,
                                  threads);
            };
        case OpKind::add: return [=](Operands p) { add(input<T>(p, 0), input<T>(p, 1), output<T>(p, 2), n, threads); };
        default: contract_failed("an activation", __FILE__, __LINE__);
    }
}

}  // namespace

Runner make_activation(const Site& site) {
    return with_type(site.out(0).dtype, [&]<class T>(T) -> Runner {
        if (site.op.kind == OpKind::sum_rows) return column_sums<T>(site);
        return {bind<T>(site), {}};
    });
}

}  // namespace wb::cpu
