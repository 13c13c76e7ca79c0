#include "kernels/cuda/runner.hpp"

namespace wb::cuda {
namespace {

Runner forward(const Site& site, bool centred) {
    const Matrix whole = Site::matrix(site.in(0));
    const Norm how{
        {whole.rows * site.a().heads, whole.columns / site.a().heads}, static_cast<float>(site.a().eps), centred};
    const Stream stream = site.stream();
    const DType type = site.out(0).dtype;
    if (centred) return {[=](Operands p) { norm(stream, type, p[0], p[1], p[2], p[3], how); }};
    return {[=](Operands p) { norm(stream, type, p[0], p[1], nullptr, p[2], how); }};
}

Runner backward(const Site& site, bool centred) {
    const Matrix whole = Site::matrix(site.in(1));
    const Norm how{
        {whole.rows * site.a().heads, whole.columns / site.a().heads}, static_cast<float>(site.a().eps), centred};
    const Stream stream = site.stream();
    const DType type = site.out(0).dtype;
    Scratch* const scratch = &site.setup.scratch;
    scratch->reserve(norm_scratch(how.shape) * static_cast<std::int64_t>(sizeof(float)));
    return {[=](Operands p) {
        norm_backward(stream, type, p[0], p[1], p[2], p[3], p[4], centred ? p[5] : nullptr, scratch->as<float>(), how);
    }};
}

Runner loss(const Site& site) {
    const Stream stream = site.stream();
    const Matrix shape = Site::matrix(site.in(0));
    const DType type = site.in(0).dtype;
    const std::int64_t offset = site.a().offset, ranks = site.a().ranks;
    if (site.op.kind == OpKind::cross_entropy_join) {
        const std::int64_t rows = elements(site.out(0).shape);
        return {[=](Operands p) {
            cross_entropy_join(stream, as<float>(p, 0), as<float>(p, 1), as<float>(p, 2), rows, ranks);
        }};
    }
    if (site.op.kind == OpKind::cross_entropy_backward) {
        const auto scale = static_cast<float>(site.a().scale);
        return {[=](Operands p) {
            cross_entropy_backward(stream, type, p[0], as<std::int32_t>(p, 1), as<float>(p, 2), p[3], offset, scale,
                                   shape);
        }};
    }
    const bool shard = ranks > 1;
    return {[=](Operands p) {
        cross_entropy(stream, type, p[0], as<std::int32_t>(p, 1), shard ? nullptr : as<float>(p, 2),
                      shard ? nullptr : as<float>(p, 3), shard ? as<float>(p, 2) : nullptr, offset, shape);
    }};
}

}  // namespace

Runner make_rows(const Site& site) {
    const Stream stream = site.stream();
    const Matrix shape = Site::matrix(site.in(0));
    const DType type = site.in(0).dtype;
    switch (site.op.kind) {
        case OpKind::layernorm: return forward(site, true);
        case OpKind::rmsnorm: return forward(site, false);
        case OpKind::layernorm_backward: return backward(site, true);
        case OpKind::rmsnorm_backward: return backward(site, false);
        case OpKind::softmax: return {[=](Operands p) { softmax(stream, type, p[0], p[1], shape); }};
        case OpKind::softmax_backward:
            return {[=](Operands p) { softmax_backward(stream, type, p[0], p[1], p[2], shape); }};
        case OpKind::sum_rows: {
            Scratch* const scratch = &site.setup.scratch;
            scratch->reserve(column_scratch(shape) * static_cast<std::int64_t>(sizeof(float)));
            return {[=](Operands p) { sum_rows(stream, type, p[0], p[1], scratch->as<float>(), shape); }};
        }
        default: return loss(site);
    }
}

}  // namespace wb::cuda
