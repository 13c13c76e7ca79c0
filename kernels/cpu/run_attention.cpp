#include "kernels/cpu/attention.hpp"
#include "kernels/cpu/runner.hpp"

namespace wb::cpu {
namespace {

/// Token matrices [batch * seq, heads * dim].
Strides token_matrix(std::int64_t seq, std::int64_t heads, std::int64_t dim) {
    return {seq * heads * dim, heads * dim, dim};
}

AttentionShape shape_of(const Attributes& a) {
    AttentionShape s{};
    s.batch = a.batch;
    s.heads = a.heads;
    s.kv_heads = a.kv_heads;
    s.seq_q = a.seq;
    s.seq_kv = a.seq_kv;
    s.head_dim = a.head_dim;
    s.v_head_dim = a.v_head_dim;
    s.causal = a.causal || a.window > 0;
    s.window = a.window;
    s.scale = static_cast<float>(a.scale);
    s.q = token_matrix(a.seq, a.heads, a.head_dim);
    s.k = token_matrix(a.seq_kv, a.kv_heads, a.head_dim);
    s.v = token_matrix(a.seq_kv, a.kv_heads, a.shared_kv ? a.head_dim : a.v_head_dim);
    s.o = token_matrix(a.seq, a.heads, a.v_head_dim);
    return s;
}

}  // namespace

Runner make_attention(const Site& site) {
    const AttentionShape s = shape_of(site.a());
    const int threads = site.threads();
    return with_type(site.out(0).dtype, [&]<class T>(T) -> Runner {
        if (site.op.kind == OpKind::attention)
            return {[=, missing = &site.setup.missing](Operands p) {
                        AttentionShape now = s;  // the strides are those of the whole cache
                        now.seq_kv -= *missing;
                        attention_forward(now, input<T>(p, 0), input<T>(p, 1), input<T>(p, 2), output<T>(p, 3),
                                          output<float>(p, 4), threads);
                    },
                    {}};
        return {[=](Operands p) {
                    attention_backward(s, input<T>(p, 1), input<T>(p, 2), input<T>(p, 3), input<T>(p, 4),
                                       input<float>(p, 5), input<T>(p, 0), output<T>(p, 6), output<T>(p, 7),
                                       output<T>(p, 8), threads);
                },
                {}};
    });
}

}  // namespace wb::cpu
