#include "kernels/workloads/weights/weight_names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace wb {
namespace {

using Views = std::vector<StoredView>;

/// How a matrix is kept. torch.nn.Linear keeps [out, in], the graph [in, out]; Conv1D of GPT-2 keeps [in, out].
enum class Form {
    same,        ///< as in the graph: tables, vectors, Conv1D
    transposed,  ///< Linear
    columns,     ///< GPT-2: q, k and v side by side in one Conv1D
    rows,        ///< Phi-3: q, k and v below each other in one Linear
    groups,      ///< GPT-NeoX, Falcon: for each key head its queries, its key, its value in one Linear
    halves,      ///< Phi-3: gate above up in one Linear
    experts,     ///< a Linear for each expert
    pairs,       ///< gpt-oss: [experts, in, 2 out], gate and up alternating
    latent_up,   ///< DeepSeek: for each head what makes its keys, then its values
    latent_down  ///< DeepSeek: the latent above the part of the keys that turns
};

struct Row {
    std::string_view role;  ///< without ".weight" and ".bias"
    std::string_view name;  ///< {0} is the layer, {1} the expert
    Form form = Form::transposed;
};
using Rows = std::vector<Row>;

const Rows gpt2{
    {"embed", "transformer.wte", Form::same},
    {"positions", "transformer.wpe", Form::same},
    {"norm1", "transformer.h.{0}.ln_1", Form::same},
    {"attention.q", "transformer.h.{0}.attn.c_attn", Form::columns},
    {"attention.k", "transformer.h.{0}.attn.c_attn", Form::columns},
    {"attention.v", "transformer.h.{0}.attn.c_attn", Form::columns},
    {"attention.out", "transformer.h.{0}.attn.c_proj", Form::same},
    {"norm2", "transformer.h.{0}.ln_2", Form::same},
    {"mlp.up", "transformer.h.{0}.mlp.c_fc", Form::same},
    {"mlp.down", "transformer.h.{0}.mlp.c_proj", Form::same},
    {"final_norm", "transformer.ln_f", Form::same},
    {"head", "lm_head", Form::same},
};
const Rows gptj{
    {"embed", "transformer.wte", Form::same},         {"norm1", "transformer.h.{0}.ln_1", Form::same},
    {"attention.q", "transformer.h.{0}.attn.q_proj"}, {"attention.k", "transformer.h.{0}.attn.k_proj"},
    {"attention.v", "transformer.h.{0}.attn.v_proj"}, {"attention.out", "transformer.h.{0}.attn.out_proj"},
    {"mlp.up", "transformer.h.{0}.mlp.fc_in"},        {"mlp.down", "transformer.h.{0}.mlp.fc_out"},
    {"final_norm", "transformer.ln_f", Form::same},   {"head", "lm_head", Form::same},
};
const Rows neox{
    {"embed", "gpt_neox.embed_in", Form::same},
    {"norm1", "gpt_neox.layers.{0}.input_layernorm", Form::same},
    {"norm2", "gpt_neox.layers.{0}.post_attention_layernorm", Form::same},
    {"attention.q", "gpt_neox.layers.{0}.attention.query_key_value", Form::groups},
    {"attention.k", "gpt_neox.layers.{0}.attention.query_key_value", Form::groups},
    {"attention.v", "gpt_neox.layers.{0}.attention.query_key_value", Form::groups},
    {"attention.out", "gpt_neox.layers.{0}.attention.dense"},
    {"mlp.up", "gpt_neox.layers.{0}.mlp.dense_h_to_4h"},
    {"mlp.down", "gpt_neox.layers.{0}.mlp.dense_4h_to_h"},
    {"final_norm", "gpt_neox.final_layer_norm", Form::same},
    {"head", "embed_out", Form::same},
};
const Rows falcon{
    {"embed", "transformer.word_embeddings", Form::same},
    {"norm1", "transformer.h.{0}.input_layernorm", Form::same},
    {"norm2", "transformer.h.{0}.post_attention_layernorm", Form::same},
    {"attention.q", "transformer.h.{0}.self_attention.query_key_value", Form::groups},
    {"attention.k", "transformer.h.{0}.self_attention.query_key_value", Form::groups},
    {"attention.v", "transformer.h.{0}.self_attention.query_key_value", Form::groups},
    {"attention.out", "transformer.h.{0}.self_attention.dense"},
    {"mlp.up", "transformer.h.{0}.mlp.dense_h_to_4h"},
    {"mlp.down", "transformer.h.{0}.mlp.dense_4h_to_h"},
    {"final_norm", "transformer.ln_f", Form::same},
    {"head", "lm_head", Form::same},
};
const Rows falcon_two_norms{
    {"norm1", "transformer.h.{0}.ln_attn", Form::same},
    {"norm2", "transformer.h.{0}.ln_mlp", Form::same},
};
const Rows phi{
    {"attention.out", "model.layers.{0}.self_attn.dense"},
    {"mlp.up", "model.layers.{0}.mlp.fc1"},
    {"mlp.down", "model.layers.{0}.mlp.fc2"},
    {"final_norm", "model.final_layernorm", Form::same},
};
const Rows phi3{
    {"attention.q", "model.layers.{0}.self_attn.qkv_proj", Form::rows},
    {"attention.k", "model.layers.{0}.self_attn.qkv_proj", Form::rows},
    {"attention.v", "model.layers.{0}.self_attn.qkv_proj", Form::rows},
    {"mlp.gate", "model.layers.{0}.mlp.gate_up_proj", Form::halves},
    {"mlp.up", "model.layers.{0}.mlp.gate_up_proj", Form::halves},
};
const Rows starcoder2{
    {"mlp.up", "model.layers.{0}.mlp.c_fc"},
    {"mlp.down", "model.layers.{0}.mlp.c_proj"},
};
const Rows mixtral{
    {"moe.router", "model.layers.{0}.block_sparse_moe.gate"},
    {"moe.gate_proj", "model.layers.{0}.block_sparse_moe.experts.{1}.w1", Form::experts},
    {"moe.down", "model.layers.{0}.block_sparse_moe.experts.{1}.w2", Form::experts},
    {"moe.up", "model.layers.{0}.block_sparse_moe.experts.{1}.w3", Form::experts},
};
const Rows gpt_oss{
    {"moe.router", "model.layers.{0}.mlp.router"},
    {"moe.gate_proj", "model.layers.{0}.mlp.experts.gate_up_proj!", Form::pairs},
    {"moe.up", "model.layers.{0}.mlp.experts.gate_up_proj!", Form::pairs},
    {"moe.down", "model.layers.{0}.mlp.experts.down_proj!", Form::same},
};
const Rows deepseek{
    {"attention.q_down", "model.layers.{0}.self_attn.q_a_proj"},
    {"attention.q_norm", "model.layers.{0}.self_attn.q_a_layernorm", Form::same},
    {"attention.q_up", "model.layers.{0}.self_attn.q_b_proj"},
    {"attention.kv_down", "model.layers.{0}.self_attn.kv_a_proj_with_mqa", Form::latent_down},
    {"attention.k_rope", "model.layers.{0}.self_attn.kv_a_proj_with_mqa", Form::latent_down},
    {"attention.kv_norm", "model.layers.{0}.self_attn.kv_a_layernorm", Form::same},
    {"attention.k_up", "model.layers.{0}.self_attn.kv_b_proj", Form::latent_up},
    {"attention.v_up", "model.layers.{0}.self_attn.kv_b_proj", Form::latent_up},
};
const Rows llama{
    // and what its descendants did not rename
    {"embed", "model.embed_tokens", Form::same},
    {"norm1", "model.layers.{0}.input_layernorm", Form::same},
    {"norm2", "model.layers.{0}.post_attention_layernorm", Form::same},
    {"attention.q", "model.layers.{0}.self_attn.q_proj"},
    {"attention.k", "model.layers.{0}.self_attn.k_proj"},
    {"attention.v", "model.layers.{0}.self_attn.v_proj"},
    {"attention.q_head_norm", "model.layers.{0}.self_attn.q_norm", Form::same},
    {"attention.k_head_norm", "model.layers.{0}.self_attn.k_norm", Form::same},
    {"attention.out", "model.layers.{0}.self_attn.o_proj"},
    {"mlp.gate", "model.layers.{0}.mlp.gate_proj"},
    {"mlp.up", "model.layers.{0}.mlp.up_proj"},
    {"mlp.down", "model.layers.{0}.mlp.down_proj"},
    {"moe.router", "model.layers.{0}.mlp.gate"},
    {"moe.gate_proj", "model.layers.{0}.mlp.experts.{1}.gate_proj", Form::experts},
    {"moe.up", "model.layers.{0}.mlp.experts.{1}.up_proj", Form::experts},
    {"moe.down", "model.layers.{0}.mlp.experts.{1}.down_proj", Form::experts},
    {"moe.shared.gate", "model.layers.{0}.mlp.shared_experts.gate_proj"},
    {"moe.shared.up", "model.layers.{0}.mlp.shared_experts.up_proj"},
    {"moe.shared.down", "model.layers.{0}.mlp.shared_experts.down_proj"},
    {"final_norm", "model.norm", Form::same},
    {"head", "lm_head", Form::same},
};
const Rows bert{
    {"embed", "bert.embeddings.word_embeddings", Form::same},
    {"positions", "bert.embeddings.position_embeddings", Form::same},
    {"token_types", "bert.embeddings.token_type_embeddings", Form::same},
    {"embed_norm", "bert.embeddings.LayerNorm", Form::same},
    {"attention.q", "bert.encoder.layer.{0}.attention.self.query"},
    {"attention.k", "bert.encoder.layer.{0}.attention.self.key"},
    {"attention.v", "bert.encoder.layer.{0}.attention.self.value"},
    {"attention.out", "bert.encoder.layer.{0}.attention.output.dense"},
    {"norm1", "bert.encoder.layer.{0}.attention.output.LayerNorm", Form::same},
    {"mlp.up", "bert.encoder.layer.{0}.intermediate.dense"},
    {"mlp.down", "bert.encoder.layer.{0}.output.dense"},
    {"norm2", "bert.encoder.layer.{0}.output.LayerNorm", Form::same},
    {"transform", "cls.predictions.transform.dense"},
    {"final_norm", "cls.predictions.transform.LayerNorm", Form::same},
    {"head", "cls.predictions", Form::same},
};
const Rows roberta_head{
    {"transform", "lm_head.dense"},
    {"final_norm", "lm_head.layer_norm", Form::same},
    {"head", "lm_head", Form::same},
};

/// The tables of a family, the ones that matter most first.
std::vector<const Rows*> tables_of(const ModelConfig& m) {
    const std::string& t = m.type;
    if (t == "gpt2") return {&gpt2};
    if (t == "gptj") return {&gptj};
    if (t == "gpt_neox") return {&neox};
    if (t == "bert") return {&bert};
    if (t == "roberta" || t == "xlm-roberta") return {&roberta_head, &bert};
    if (t == "falcon" || t == "RefinedWebModel")
        return m.parallel_norms ? std::vector<const Rows*>{&falcon_two_norms, &falcon} : std::vector{&falcon};
    if (t == "phi") return {&phi, &llama};
    if (t == "phi3") return {&phi3, &llama};
    if (t == "starcoder2") return {&starcoder2, &llama};
    if (t == "mixtral") return {&mixtral, &llama};
    if (t == "gpt_oss") return {&gpt_oss, &llama};
    if (m.latent() && m.q_rank == 0) {
        static const Rows direct{{"attention.q_up", "model.layers.{0}.self_attn.q_proj"}};
        return {&direct, &deepseek, &llama};
    }
    if (m.latent()) return {&deepseek, &llama};
    return {&llama};
}

const Row* row_of(const ModelConfig& m, std::string_view role) {
    for (const Rows* rows : tables_of(m))
        for (const Row& row : *rows)
            if (row.role == role) return &row;
    return nullptr;
}

/// Builds the view of one weight; `in` and `out` are those of a matrix, a vector has out only.
class Finder {
public:
    Finder(const ModelConfig& m, const Row& row, bool bias, std::int64_t layer, const Shape& shape)
        : m_(m),
          row_(row),
          bias_(bias),
          layer_(layer),
          shape_(shape),
          in_(shape.size() > 1 ? shape[shape.size() - 2] : 1),
          out_(shape.back()) {}

    Views views() const {
        switch (row_.form) {
            case Form::same: return {view(shape_, 0, {{elements(shape_), 1}})};
            case Form::transposed: return {rows(out_, 0)};
            case Form::columns:
                if (bias_) return {view({3 * out_}, which() * out_, {{out_, 1}})};
                return {view({in_, 3 * out_}, which() * out_, {{in_, 3 * out_}, {out_, 1}})};
            case Form::rows: {
                const std::int64_t q = m_.heads * m_.head_dim, kv = m_.kv_heads * m_.head_dim;
                return {rows(q + 2 * kv, which() == 0 ? 0 : q + (which() - 1) * kv)};
            }
            case Form::groups: return {group()};
            case Form::halves: return {rows(2 * out_, row_.role == "mlp.up" ? out_ : 0)};
            case Form::experts: return experts();
            case Form::pairs:
                return {view({shape_[0], in_, 2 * out_}, row_.role == "moe.up" ? 1 : 0, {{elements(shape_), 2}})};
            case Form::latent_up: return {latent_up()};
            case Form::latent_down:
                return {rows(m_.kv_rank + m_.rope_dim, row_.role == "attention.k_rope" ? m_.kv_rank : 0)};
        }
        return {};
    }

private:
    StoredView view(Shape stored, std::int64_t offset, std::vector<StoredView::Digit> digits,
                    std::int64_t expert = 0) const {
        std::string name = fmt::format(fmt::runtime(row_.name), layer_, expert);
        if (name.ends_with('!'))
            name.pop_back();  // a bare parameter, not one of a module
        else
            name += bias_ ? ".bias" : ".weight";
        return {name, std::move(stored), offset, std::move(digits)};
    }
    /// Rows [first, first + out) of a Linear with `total`.
    StoredView rows(std::int64_t total, std::int64_t first, std::int64_t expert = 0) const {
        if (bias_) return view({total}, first, {{out_, 1}}, expert);
        return view({total, in_}, first * in_, {{in_, 1}, {out_, in_}}, expert);
    }
    /// 0, 1 or 2 for q, k or v.
    std::int64_t which() const { return row_.role == "attention.q" ? 0 : row_.role == "attention.k" ? 1 : 2; }
    StoredView group() const {
        const std::int64_t d = m_.head_dim, queries = m_.heads / m_.kv_heads, width = (queries + 2) * d;
        const std::int64_t first = which() == 0 ? 0 : (queries + which() - 1) * d,
                           mine = which() == 0 ? queries * d : d;
        if (bias_) return view({m_.kv_heads * width}, first, {{m_.kv_heads, width}, {mine, 1}});
        return view({m_.kv_heads * width, in_}, first * in_, {{in_, 1}, {m_.kv_heads, width * in_}, {mine, in_}});
    }
    Views experts() const {
        Views out;
        for (std::int64_t e = 0; e < shape_[0]; ++e) out.push_back(rows(out_, 0, e));
        return out;
    }
    /// In prefill one matrix [rank, heads * n], in decode one for each head, the keys' transposed (absorbed).
    StoredView latent_up() const {
        const bool keys = row_.role == "attention.k_up";
        const std::int64_t rank = m_.kv_rank, head = (m_.nope_dim + m_.v_head_dim) * rank;
        const std::int64_t n = keys ? m_.nope_dim : m_.v_head_dim, first = keys ? 0 : m_.nope_dim * rank;
        const Shape stored{m_.heads * (m_.nope_dim + m_.v_head_dim), rank};
        if (shape_.size() == 2) return view(stored, first, {{rank, 1}, {m_.heads, head}, {n, rank}});
        if (keys) return view(stored, first, {{m_.heads, head}, {n, rank}, {rank, 1}});
        return view(stored, first, {{m_.heads, head}, {rank, 1}, {n, rank}});
    }

    const ModelConfig& m_;
    const Row& row_;
    bool bias_;
    std::int64_t layer_;
    const Shape& shape_;
    std::int64_t in_, out_;
};

}  // namespace

std::int64_t StoredView::size() const {
    std::int64_t n = 1;
    for (const Digit& d : digits) n *= d.extent;
    return n;
}

std::int64_t StoredView::at(std::int64_t i) const {
    std::int64_t where = offset;
    for (std::size_t d = digits.size(); d-- > 1; i /= digits[d].extent)
        where += i % digits[d].extent * digits[d].stride;
    return where + i * digits.front().stride;
}

std::vector<StoredView> stored_views(const ModelConfig& model, const std::string& role, std::int64_t layer,
                                     const Shape& shape) {
    const std::size_t dot = role.rfind('.');
    const Row* const row = row_of(model, std::string_view(role).substr(0, dot));
    if (!row) return {};
    return Finder(model, *row, role.substr(dot) == ".bias", layer, shape).views();
}

}  // namespace wb
