#include "kernels/cuda/runner.hpp"

namespace wb::cuda {
namespace {

/// The order of rows by expert, made anew by every op that needs it: the choice is known only while running.
struct Order {
    std::int64_t entries, experts;
    Scratch* scratch;
    Stream stream;

    Order(const Site& site, const Tensor& index)
        : entries(elements(index.shape)),
          experts(site.a().experts),
          scratch(&site.setup.scratch),
          stream(site.stream()) {
        scratch->reserve((experts + 1 + 2 * entries) * static_cast<std::int64_t>(sizeof(std::int32_t)));
    }
    ExpertOrder make(const void* index) const {
        auto* const first = scratch->as<std::int32_t>();
        const ExpertOrder order{first, first + experts + 1, first + experts + 1 + entries};
        order_by_expert(stream, static_cast<const std::int32_t*>(index), entries, experts, order);
        return order;
    }
};

}  // namespace

Runner make_grouped_matmul(const Site& site) {
    const Order order(site, site.in(2));
    const DType type = site.out(0).dtype;
    const Shape& y = site.out(0).shape;
    Grouped how{Site::rows(site.in(0)), site.a().experts, Site::columns(site.in(0)), y.back(),
                site.a().trans_b,       site.a().trans_a};
    if (has_grouped_units(type, how, site.setup.device))
        return {[=](Operands p) {
                    grouped_product_units(order.stream, type, p[0], p[1], p[3], order.make(p[2]).first, how);
                },
                "own products of experts on matrix units"};
    return {[=](Operands p) { grouped_product(order.stream, type, p[0], p[1], p[3], order.make(p[2]).first, how); }};
}

Runner make_experts(const Site& site) {
    const Attributes& a = site.a();
    const Stream stream = site.stream();
    const std::int64_t topk = a.topk;
    switch (site.op.kind) {
        case OpKind::topk_gate: {
            const DType type = site.in(0).dtype;
            const Gate how{Site::rows(site.in(0)), a.experts, topk, static_cast<float>(a.scale), a.sigmoid};
            return {[=](Operands p) { topk_gate(stream, type, p[0], as<std::int32_t>(p, 1), as<float>(p, 2), how); }};
        }
        case OpKind::topk_gate_backward: {
            const DType type = site.in(1).dtype;
            const Gate how{Site::rows(site.in(1)), Site::columns(site.in(1)), topk, static_cast<float>(a.scale),
                           a.sigmoid};
            return {[=](Operands p) {
                topk_gate_backward(stream, type, as<float>(p, 0), p[1], as<std::int32_t>(p, 2), as<float>(p, 3), p[4],
                                   how);
            }};
        }
        case OpKind::moe_dispatch: {
            const Order order(site, site.in(1));
            const DType type = site.out(0).dtype;
            const Matrix shape = Site::matrix(site.out(0));
            return {[=](Operands p) { dispatch(stream, type, p[0], p[2], order.make(p[1]), shape, topk); }};
        }
        case OpKind::moe_combine: {
            const Order order(site, site.in(1));
            const DType type = site.out(0).dtype;
            const Matrix shape = Site::matrix(site.out(0));
            const bool weighted = site.inputs() > 2;
            return {[=](Operands p) {
                combine(stream, type, p[0], weighted ? as<float>(p, 2) : nullptr, p[weighted ? 3 : 2], order.make(p[1]),
                        shape, topk);
            }};
        }
        default: {  // moe_combine_backward
            const Order order(site, site.in(2));
            const DType type = site.out(0).dtype;
            const Matrix shape = Site::matrix(site.in(1));
            return {[=](Operands p) {
                combine_backward(stream, type, p[0], p[1], as<float>(p, 3), p[4], as<float>(p, 5), order.make(p[2]),
                                 shape, topk);
            }};
        }
    }
}

}  // namespace wb::cuda
