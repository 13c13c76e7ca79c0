#include "core/error.hpp"
#include "kernels/cuda/attention.hpp"
#include "kernels/cuda/runner.hpp"

namespace wb::cuda {
namespace {

/// What the tiles of attention_tiled() take of a block's shared memory: for 256 features more than small devices have.
std::int64_t tiled_bytes(const Attention& how) { return (how.d == 256 ? 128 + 4 * 32 : 128 + 4 * 64) * how.d * 2; }

Runner forward(const Site& site) {
    Attention how = attention_of(site.a(), site.in(2));
    if (how.seq == 1) how.missing = site.setup.missing;  // of a prefill's caches nothing is read that is not there
    const DType type = site.in(0).dtype;
    const Stream stream = site.stream();
    const auto operands = [](Operands p) {
        return AttentionOperands{p[0], p[1], p[2], p[3], static_cast<float*>(p[4])};
    };
    if (has_decode(type, how)) {
        const std::int64_t splits = decode_splits(how, site.setup.device.processors);
        Scratch* const scratch = &site.setup.scratch;
        scratch->reserve(decode_scratch(how, splits) * static_cast<std::int64_t>(sizeof(float)));
        return {[=](Operands p) { attention_decode(stream, type, operands(p), scratch->as<float>(), splits, how); },
                "own attention by splits of the keys"};
    }
    if (!how.missing && has_warpgroup(type, how, site.setup.device))
        return {[=](Operands p) { attention_warpgroup(stream, type, operands(p), how); },
                "own attention on warpgroup matrix units"};
    if (!how.missing && has_tiled(type, how) && tiled_bytes(how) <= site.setup.device.shared_bytes)
        return {[=](Operands p) { attention_tiled(stream, type, operands(p), how); }, "own attention on matrix units"};
    return {[=](Operands p) { attention_general(stream, type, operands(p), how); }, "own attention"};
}

Runner backward(const Site& site) {
    const Attention how = attention_of(site.a(), site.in(3));
    const DType type = site.in(1).dtype;
    const Stream stream = site.stream();
    Scratch* const scratch = &site.setup.scratch;
    scratch->reserve(how.queries() * static_cast<std::int64_t>(sizeof(float)));
    const auto operands = [scratch](Operands p) {
        return AttentionGradients{
            p[0], p[1], p[2], p[3], p[4], static_cast<const float*>(p[5]), p[6], p[7], p[8], scratch->as<float>()};
    };
    if (has_warpgroup(type, how, site.setup.device)) {
        scratch->reserve(warpgroup_backward_scratch(how) * static_cast<std::int64_t>(sizeof(float)));
        return {[=](Operands p) { attention_warpgroup_backward(stream, type, operands(p), scratch->as<float>(), how); },
                "own attention on warpgroup matrix units"};
    }
    if (has_tiled_backward(type, how) && tiled_bytes(how) <= site.setup.device.shared_bytes)
        return {[=](Operands p) { attention_tiled_backward(stream, type, operands(p), how); },
                "own attention on matrix units"};
    return {[=](Operands p) { attention_general_backward(stream, type, operands(p), how); }, "own attention"};
}

}  // namespace

Attention attention_of(const Attributes& a, const Tensor& v) {
    return {a.batch,
            a.seq,
            a.seq_kv,
            a.heads,
            a.kv_heads,
            a.head_dim,
            a.v_head_dim,
            v.shape.back() / a.kv_heads,
            a.window,
            a.causal,
            static_cast<float>(a.scale)};
}

Runner make_attention(const Site& site) { return site.op.kind == OpKind::attention ? forward(site) : backward(site); }

}  // namespace wb::cuda
