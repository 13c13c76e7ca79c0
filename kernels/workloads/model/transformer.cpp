#include "kernels/workloads/model/transformer.hpp"

#include <fmt/format.h>

#include <cmath>

#include "core/error.hpp"
#include "kernels/workloads/weights/model_weights.hpp"

namespace wb {
namespace {

/// Builds the layers of one model; every method takes and returns activations [tokens, features].
class Builder {
public:
    Builder(Graph& g, const ModelConfig& m, Pass pass, const Sequence& s, const Adapters& adapters)
        : g_(g), m_(m), pass_(pass), s_(s), adapters_(adapters) {
        context_ = pass == Pass::decode ? s.seq : 0;
        step_ = pass == Pass::decode ? 1 : s.seq;
        tokens_ = s.batch * step_;
        if (m.learned_positions && context_ + step_ > m.positions)
            throw Error(
                {"seq",
                 fmt::format("{} tokens are more than the {} positions of the model", context_ + step_, m.positions),
                 "it has no embedding for the rest", fmt::format("Use at most {}.", m.positions)});
    }

    void build() {
        g_.phase(pass_ == Pass::train || pass_ == Pass::forward ? "forward"
                 : pass_ == Pass::prefill                       ? "prefill"
                                                                : "decode");
        TensorId x = embedding();
        const auto pattern = static_cast<std::int64_t>(m_.windows.size());
        const std::int64_t dense = m_.experts > 0 ? m_.dense_layers : m_.layers;
        if (m_.experts == 0 || dense > 0) x = stack(x, "dense", 0, dense, pattern, false);
        if (m_.experts > 0) x = stack(x, "layers", dense, m_.layers - dense, pattern, true);
        head(x);
    }

private:
    // --- small words -------------------------------------------------------------------------------------------

    /// Values from the model's files; hashed ones where there are none.
    TensorId filled(const std::string& name, Shape shape, Fill hashed) {
        const std::string role = name.substr(prefix_.size());
        const Fill fill = m_.weights ? m_.weights->fill(role, shape, instances_) : std::move(hashed);
        return g_.weight(name, std::move(shape), s_.dtype, fill);
    }
    TensorId weight(const std::string& name, Shape shape, std::int64_t fan_in) {
        return filled(name, std::move(shape), {Fill::Kind::uniform, std::sqrt(3.0 / static_cast<double>(fan_in))});
    }
    TensorId bias(const std::string& name, std::int64_t n) { return filled(name, {n}, {Fill::Kind::uniform, 0.1}); }

    TensorId linear(const std::string& name, TensorId x, std::int64_t in, std::int64_t out, bool with_bias) {
        std::vector<TensorId> operands{x, weight(name + ".weight", {in, out}, in)};
        if (with_bias) operands.push_back(bias(name + ".bias", out));
        return g_.add(OpKind::matmul, name, operands);
    }

    TensorId adapted(const std::string& name, TensorId x, std::int64_t in, std::int64_t out, bool with_bias,
                     bool wanted = true) {
        const TensorId y = linear(name, x, in, out, with_bias);
        if (adapters_.rank == 0 || !wanted) return y;
        const std::int64_t rank = adapters_.rank;
        const auto matrix = [&](const char* end, Shape shape, std::int64_t fan_in) {
            return g_.weight(name + end, std::move(shape), bits(s_.dtype) < 16 ? DType::any16 : s_.dtype,
                             {Fill::Kind::uniform, std::sqrt(3.0 / static_cast<double>(fan_in))});
        };
        Attributes a;
        a.adapter = true;
        const TensorId u = g_.add(OpKind::matmul, name + ".down_to_rank", {x, matrix(".adapter_a", {in, rank}, in)}, a);
        const TensorId v = g_.add(OpKind::matmul, name + ".up_from_rank", {u, matrix(".adapter_b", {rank, out}, rank)});
        return g_.add(OpKind::add, name + ".adapter_sum", {y, v}, a);
    }

    TensorId norm(const std::string& name, TensorId x, std::int64_t width) {
        Attributes a;
        a.eps = m_.eps;
        const TensorId gamma = filled(name + ".weight", {width}, {Fill::Kind::constant, 1.0});
        if (m_.rmsnorm) return g_.add(OpKind::rmsnorm, name, {x, gamma}, a);
        return g_.add(OpKind::layernorm, name, {x, gamma, bias(name + ".bias", width)}, a);
    }

    TensorId head_norm(const std::string& name, TensorId x, std::int64_t heads) {
        Attributes a;
        a.eps = m_.eps;
        a.heads = heads;
        return g_.add(OpKind::rmsnorm, name, {x, filled(name + ".weight", {m_.head_dim}, {Fill::Kind::constant, 1.0})},
                      a);
    }

    Attributes positions(std::int64_t heads) const {
        Attributes a;
        a.batch = s_.batch;
        a.seq = step_;
        a.offset = context_;
        a.heads = heads;
        a.theta = m_.rope_theta;
        a.interleaved = m_.rope_interleaved;
        return a;
    }

    TensorId rope(const std::string& name, TensorId x, std::int64_t heads, std::int64_t dim, std::int64_t offset = 0) {
        Attributes a = positions(heads);
        a.rotary_dim = dim;
        a.rotary_offset = offset;
        return g_.add(OpKind::rope, name, {x}, a);
    }

    // --- ends --------------------------------------------------------------------------------------------------

    TensorId embedding() {
        const TensorId ids =
            g_.input("tokens", {tokens_}, DType::int32, {Fill::Kind::integers, static_cast<double>(m_.vocab)});
        table_ = weight("embed.weight", {m_.vocab, m_.hidden}, m_.hidden);
        TensorId x = g_.add(OpKind::embed, "embed", {ids, table_});
        if (m_.learned_positions) {
            Attributes a = positions(1);
            a.offset += m_.first_position;
            x = g_.add(OpKind::position_embed, "positions",
                       {x, weight("positions.weight", {m_.positions, m_.hidden}, m_.hidden)}, a);
        }
        if (m_.token_types > 0) {
            const TensorId types = g_.input("token_types", {tokens_}, DType::int32,
                                            {Fill::Kind::integers, static_cast<double>(m_.token_types)});
            const TensorId t = g_.add(OpKind::embed, "embed_types",
                                      {types, weight("token_types.weight", {m_.token_types, m_.hidden}, m_.hidden)});
            x = g_.add(OpKind::add, "embed_sum", {x, t});
        }
        return m_.post_norm ? norm("embed_norm", x, m_.hidden) : x;
    }

    void head(TensorId x) {
        if (pass_ == Pass::prefill) {
            Attributes a;
            a.batch = s_.batch;
            a.seq = step_;
            x = g_.add(OpKind::last_rows, "last", {x}, a);
        }
        if (m_.post_norm) {  // BERT's prediction head: dense, GELU, norm
            x = linear("transform", x, m_.hidden, m_.hidden, true);
            Attributes a;
            a.tanh_form = m_.gelu_tanh;
            x = g_.add(OpKind::gelu, "transform_gelu", {x}, a);
        }
        x = norm("final_norm", x, m_.hidden);
        Attributes a;
        a.trans_b = true;
        std::vector<TensorId> in{x, m_.tied ? table_ : weight("head.weight", {m_.vocab, m_.hidden}, m_.hidden)};
        if (m_.head_bias) in.push_back(bias("head.bias", m_.vocab));
        const TensorId logits = g_.add(OpKind::matmul, "head", in, a);
        if (pass_ != Pass::train) return g_.mark_output(logits);
        const TensorId targets =
            g_.input("targets", {tokens_}, DType::int32, {Fill::Kind::integers, static_cast<double>(m_.vocab)});
        g_.mark_output(g_.apply(OpKind::cross_entropy, "loss", {logits, targets}).front());
    }

    // --- layers ------------------------------------------------------------------------------------------------

    TensorId stack(TensorId x, const std::string& name, std::int64_t first, std::int64_t layers, std::int64_t pattern,
                   bool experts) {
        if (layers % pattern != 0)
            throw Error({"layers", fmt::format("{} layers are no multiple of the pattern of {}", layers, pattern),
                         "the model alternates between kinds of layers", ""});
        return g_
            .repeat(layers / pattern, {x},
                    [&](const std::vector<TensorId>& in) {
                        TensorId h = in[0];
                        for (std::int64_t i = 0; i < pattern; ++i) {
                            const std::string n = pattern == 1 ? name : fmt::format("{}{}", name, i);
                            prefix_ = n + ".";
                            instances_ = {first + i, pattern, layers / pattern};
                            h = layer(n, h, m_.windows[i], experts && (i + 1) % m_.expert_period == 0);
                        }
                        prefix_.clear();
                        instances_ = {};
                        return std::vector<TensorId>{h};
                    })
            .front();
    }

    TensorId layer(const std::string& n, TensorId h, std::int64_t window, bool experts) {
        const auto mlp_of = [&](TensorId x) { return experts ? mixture(n + ".moe", x) : mlp(n + ".mlp", x, m_.ffn); };
        if (m_.post_norm) {
            const TensorId a = g_.add(OpKind::add, n + ".add1", {h, attention(n + ".attention", h, window)});
            const TensorId h1 = norm(n + ".norm1", a, m_.hidden);
            return norm(n + ".norm2", g_.add(OpKind::add, n + ".add2", {h1, mlp_of(h1)}), m_.hidden);
        }
        const TensorId n1 = norm(n + ".norm1", h, m_.hidden);
        const TensorId a = attention(n + ".attention", n1, window);
        if (m_.parallel_residual) {
            const TensorId n2 = m_.parallel_norms ? norm(n + ".norm2", h, m_.hidden) : n1;
            const TensorId both = g_.add(OpKind::add, n + ".add1", {a, mlp_of(n2)});
            return g_.add(OpKind::add, n + ".add2", {h, both});
        }
        const TensorId h1 = g_.add(OpKind::add, n + ".add1", {h, a});
        return g_.add(OpKind::add, n + ".add2", {h1, mlp_of(norm(n + ".norm2", h1, m_.hidden))});
    }

    Attributes attention_attributes(std::int64_t window) const {
        Attributes a;
        a.batch = s_.batch;
        a.seq = step_;
        a.seq_kv = context_ + step_;
        a.heads = m_.heads;
        a.kv_heads = m_.kv_heads;
        a.head_dim = m_.head_dim;
        a.v_head_dim = m_.v_head_dim;
        a.causal = m_.causal;
        a.window = window;
        a.scale = 1.0 / std::sqrt(static_cast<double>(m_.head_dim));
        return a;
    }

    /// Puts the new rows into the cache of this layer and returns what attention reads: the cache, or in prefill the
    /// rows.
    TensorId cached(const std::string& name, TensorId x) {
        if (pass_ == Pass::train || pass_ == Pass::forward) return x;
        Attributes a;
        a.batch = s_.batch;
        a.seq = step_;
        a.offset = context_;
        a.seq_kv = context_ + step_;
        const TensorId cache = g_.state(name + "_cache", {s_.batch * a.seq_kv, g_.tensor(x).shape[1]},
                                        s_.cache.value_or(s_.dtype), {Fill::Kind::uniform, 1.0});
        g_.apply(OpKind::cache_write, name + "_write", {cache, x}, a);
        return pass_ == Pass::prefill ? x : cache;
    }

    TensorId attention(const std::string& n, TensorId x, std::int64_t window) {
        if (m_.latent()) return latent_attention(n, x);
        const std::int64_t q_width = m_.heads * m_.head_dim, kv_width = m_.kv_heads * m_.head_dim;
        TensorId q = adapted(n + ".q", x, m_.hidden, q_width, m_.qkv_bias);
        TensorId k = adapted(n + ".k", x, m_.hidden, kv_width, m_.qkv_bias);
        TensorId v = adapted(n + ".v", x, m_.hidden, kv_width, m_.qkv_bias);
        if (m_.head_norms) {
            q = head_norm(n + ".q_head_norm", q, m_.heads);
            k = head_norm(n + ".k_head_norm", k, m_.kv_heads);
        }
        if (m_.rotary_dim > 0) {
            q = rope(n + ".rope_q", q, m_.heads, m_.rotary_dim);
            k = rope(n + ".rope_k", k, m_.kv_heads, m_.rotary_dim);
        }
        k = cached(n + ".k", k);
        v = cached(n + ".v", v);
        const TensorId o = g_.apply(OpKind::attention, n, {q, k, v}, attention_attributes(window)).front();
        return adapted(n + ".out", o, q_width, m_.hidden, m_.out_bias);
    }

    TensorId concat(const std::string& name, TensorId a, TensorId shared, std::int64_t heads, std::int64_t dim) {
        Attributes at;
        at.heads = heads;
        at.head_dim = dim;
        at.rotary_dim = m_.rope_dim;
        return g_.add(OpKind::concat_heads, name, {a, shared}, at);
    }

    /// Multi-head latent attention (DeepSeek-V2 2024): keys and values are expanded from one narrow latent; in decode
    /// the expansions are absorbed into query and output, and the latent itself is the cache.
    TensorId latent_attention(const std::string& n, TensorId x) {
        TensorId q_in = x;
        std::int64_t q_width = m_.hidden;
        if (m_.q_rank > 0) {
            q_in = norm(n + ".q_norm", linear(n + ".q_down", x, m_.hidden, m_.q_rank, false), m_.q_rank);
            q_width = m_.q_rank;
        }
        TensorId q = adapted(n + ".q_up", q_in, q_width, m_.heads * m_.head_dim, false);
        q = rope(n + ".rope_q", q, m_.heads, m_.rope_dim, m_.nope_dim);
        const TensorId latent =
            norm(n + ".kv_norm", linear(n + ".kv_down", x, m_.hidden, m_.kv_rank, false), m_.kv_rank);
        const TensorId k_rope =
            rope(n + ".rope_k", linear(n + ".k_rope", x, m_.hidden, m_.rope_dim, false), 1, m_.rope_dim);
        Attributes a = attention_attributes(0);
        TensorId o;
        if (pass_ == Pass::decode) {
            Attributes per_head;
            per_head.heads = m_.heads;
            per_head.rotary_dim = m_.rope_dim;
            q = g_.add(OpKind::head_matmul, n + ".absorb_k",
                       {q, weight(n + ".k_up.weight", {m_.heads, m_.nope_dim, m_.kv_rank}, m_.nope_dim)}, per_head);
            const TensorId cache = cached(n + ".latent", concat(n + ".latent", latent, k_rope, 1, m_.kv_rank));
            a.kv_heads = 1;
            a.head_dim = m_.kv_rank + m_.rope_dim;
            a.v_head_dim = m_.kv_rank;
            a.shared_kv = true;
            o = g_.apply(OpKind::attention, n, {q, cache, cache}, a).front();
            per_head.rotary_dim = 0;
            o = g_.add(OpKind::head_matmul, n + ".absorb_v",
                       {o, weight(n + ".v_up.weight", {m_.heads, m_.kv_rank, m_.v_head_dim}, m_.kv_rank)}, per_head);
        } else {
            if (pass_ == Pass::prefill) cached(n + ".latent", concat(n + ".latent", latent, k_rope, 1, m_.kv_rank));
            a.kv_heads = m_.heads;
            const TensorId k_up = linear(n + ".k_up", latent, m_.kv_rank, m_.heads * m_.nope_dim, false);
            const TensorId v = linear(n + ".v_up", latent, m_.kv_rank, m_.heads * m_.v_head_dim, false);
            const TensorId k = concat(n + ".keys", k_up, k_rope, m_.heads, m_.nope_dim);
            o = g_.apply(OpKind::attention, n, {q, k, v}, a).front();
        }
        return adapted(n + ".out", o, m_.heads * m_.v_head_dim, m_.hidden, false);
    }

    TensorId mlp(const std::string& n, TensorId x, std::int64_t width) {
        TensorId y = adapted(n + ".up", x, m_.hidden, width, m_.mlp_bias, adapters_.mlp);
        if (m_.gated) {
            const TensorId gate = adapted(n + ".gate", x, m_.hidden, width, m_.mlp_bias, adapters_.mlp);
            y = g_.add(OpKind::silu_mul, n + ".silu_mul", {gate, y});
        } else {
            Attributes a;
            a.tanh_form = m_.gelu_tanh;
            y = g_.add(OpKind::gelu, n + ".gelu", {y}, a);
        }
        return adapted(n + ".down", y, width, m_.hidden, m_.mlp_bias, adapters_.mlp);
    }

    TensorId experts_matmul(const std::string& name, TensorId x, TensorId index, std::int64_t in, std::int64_t out) {
        Attributes a;
        a.experts = m_.experts;
        a.topk = m_.topk;
        return g_.add(OpKind::grouped_matmul, name, {x, weight(name + ".weight", {m_.experts, in, out}, in), index}, a);
    }

    TensorId mixture(const std::string& n, TensorId x) {
        Attributes a;
        a.experts = m_.experts;
        a.topk = m_.topk;
        a.sigmoid = m_.sigmoid_gate;
        a.scale = m_.gate_scale;
        const auto chosen = g_.apply(OpKind::topk_gate, n + ".gate",
                                     {linear(n + ".router", x, m_.hidden, m_.experts, m_.router_bias)}, a);
        const TensorId index = chosen[0], gate = chosen[1];
        const TensorId rows = g_.add(OpKind::moe_dispatch, n + ".dispatch", {x, index}, a);
        const TensorId up = experts_matmul(n + ".up", rows, index, m_.hidden, m_.expert_ffn);
        const TensorId gated = g_.add(OpKind::silu_mul, n + ".silu_mul",
                                      {experts_matmul(n + ".gate_proj", rows, index, m_.hidden, m_.expert_ffn), up});
        const TensorId down = experts_matmul(n + ".down", gated, index, m_.expert_ffn, m_.hidden);
        TensorId y = g_.add(OpKind::moe_combine, n + ".combine", {down, index, gate}, a);
        if (m_.shared_experts > 0)
            y = g_.add(OpKind::add, n + ".shared_sum", {y, mlp(n + ".shared", x, m_.shared_experts * m_.expert_ffn)});
        return y;
    }

    Graph& g_;
    const ModelConfig& m_;
    const Pass pass_;
    const Sequence& s_;
    const Adapters& adapters_;
    std::int64_t context_, step_, tokens_;
    TensorId table_{};
    std::string prefix_;    // of the names in the layer at hand
    LayerRange instances_;  // the layers its weights stand for
};

}  // namespace

void build_transformer(Graph& g, const ModelConfig& model, Pass pass, const Sequence& sequence,
                       const Adapters& adapters) {
    Builder(g, model, pass, sequence, adapters).build();
}

}  // namespace wb
