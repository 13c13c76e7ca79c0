#include <cmath>
#include <memory>

#include "core/error.hpp"
#include "kernels/cuda/runner.hpp"

namespace wb::cuda {
namespace {

/// Cosines [count, dim / 2] of every position from `first` on and pair, then sines: computed once, exactly, on the
/// host.
std::shared_ptr<const Memory> turns(const Attributes& a, std::int64_t first, std::int64_t count, Stream stream) {
    std::vector<float> cosine, sine;
    for (std::int64_t s = first; s < first + count; ++s)
        for (std::int64_t i = 0; i < a.rotary_dim / 2; ++i) {
            const double turn = static_cast<double>(s) *
                                std::pow(a.theta, -2.0 * static_cast<double>(i) / static_cast<double>(a.rotary_dim));
            cosine.push_back(static_cast<float>(std::cos(turn)));
            sine.push_back(static_cast<float>(a.inverse ? -std::sin(turn) : std::sin(turn)));
        }
    cosine.insert(cosine.end(), sine.begin(), sine.end());
    const auto bytes = static_cast<std::int64_t>(cosine.size() * sizeof(float));
    auto table = std::make_shared<Memory>(bytes);
    copy_to_device(table->data(), cosine.data(), bytes, stream);
    return table;
}

Runner rotation(const Site& site) {
    const Attributes& a = site.a();
    // Where caches may lack tokens, a token stands anywhere up to its place.
    const std::int64_t* const missing = site.setup.missing;
    const std::int64_t first = missing ? a.offset : 0, positions = first + a.seq;
    const std::shared_ptr<const Memory> table = turns(a, a.offset - first, positions, site.stream());
    const Matrix shape = Site::matrix(site.in(0));
    const Rotation how{a.seq,   a.heads,      shape.columns / a.heads, a.rotary_dim, a.rotary_offset, positions, first,
                       missing, a.interleaved};
    const Stream stream = site.stream();
    const DType type = site.out(0).dtype;
    return {[=](Operands p) {
        rope(stream, type, p[0], reinterpret_cast<const float*>(table->data()), p[1], shape.rows, how);
    }};
}

Runner update(const Site& site) {
    const Attributes& a = site.a();
    const std::int64_t n = elements(site.in(0).shape);
    const DType type = site.in(0).dtype;
    WB_EXPECT((type == DType::f32) == (site.inputs() == 4) && site.in(1).dtype == type);
    const std::size_t pair = site.setup.steps.pair(a.beta1, a.beta2);
    const Steps* const steps = &site.setup.steps;
    const Update fixed{static_cast<float>(a.rate), static_cast<float>(a.beta1), static_cast<float>(a.beta2),
                       static_cast<float>(a.eps),  static_cast<float>(a.decay), nullptr};
    const Stream stream = site.stream();
    return {[=](Operands p) {
        Update how = fixed;
        how.corrections = steps->corrections(pair);
        adamw(stream, type, p[0], p[1], as<float>(p, 2), as<float>(p, 3),
              type == DType::f32 ? nullptr : as<float>(p, 4), n, how);
    }};
}

}  // namespace

Runner make_elements(const Site& site) {
    const Stream stream = site.stream();
    const DType type = site.in(0).dtype;
    const std::int64_t n = elements(site.in(0).shape);
    const bool tanh_form = site.a().tanh_form;
    switch (site.op.kind) {
        case OpKind::rope: return rotation(site);
        case OpKind::adamw: return update(site);
        case OpKind::add: return {[=](Operands p) { add(stream, type, p[0], p[1], p[2], n); }};
        case OpKind::gelu: return {[=](Operands p) { gelu(stream, type, p[0], p[1], n, tanh_form); }};
        case OpKind::gelu_backward:
            return {[=](Operands p) { gelu_backward(stream, type, p[0], p[1], p[2], n, tanh_form); }};
        case OpKind::silu_mul: return {[=](Operands p) { silu_mul(stream, type, p[0], p[1], p[2], n); }};
        default: return {[=](Operands p) { silu_mul_backward(stream, type, p[0], p[1], p[2], p[3], p[4], n); }};
    }
}

}  // namespace wb::cuda
