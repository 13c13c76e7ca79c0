#include "kernels/bench/operators.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/element.hpp"
#include "core/op_kinds.hpp"

namespace wb::cpu {
namespace {

constexpr std::int64_t tokens = 8192, features = 2048, hidden = 4096, vocabulary = 32000, sequence = 2048, heads = 16,
                       head = 128, experts = 8, chosen = 2, latent = 512, turning = 64;

/// Builds one op a call.
class Rows {
public:
    explicit Rows(DType type) : type_(type) {}

    struct In {
        Shape shape;
        DType type;
        Role role = Role::input;
        Fill fill{Fill::Kind::uniform, 1.0};
    };
    In real(Shape shape, Role role = Role::input) const { return {std::move(shape), type_, role}; }
    static In single(Shape shape, double value, Role role = Role::input) {
        return {std::move(shape), DType::f32, role, {Fill::Kind::constant, value}};
    }
    static In whole(Shape shape, std::int64_t below) {
        return {std::move(shape), DType::int32, Role::input, {Fill::Kind::integers, static_cast<double>(below)}};
    }

    /// `bytes`: where not each operand is read and each result written, whole and once.
    void add(OpKind kind, const std::vector<In>& in, const Attributes& a = {}, const std::string& shape = "",
             double bytes = 0) {
        auto g = std::make_shared<Graph>(std::string(wb::name(kind)));
        std::vector<TensorId> ids;
        double moved = 0;
        for (const In& i : in) {
            const std::string name = "x" + std::to_string(ids.size());
            ids.push_back(i.role == Role::weight  ? g->weight(name, i.shape, i.type, i.fill)
                          : i.role == Role::state ? g->state(name, i.shape, i.type, i.fill)
                                                  : g->input(name, i.shape, i.type, i.fill));
            moved += g->bytes(ids.back()).si();
        }
        for (const TensorId out : g->apply(kind, "y", ids, a)) {
            moved += g->bytes(out).si();
            if (std::find(ids.begin(), ids.end(), out) == ids.end()) g->mark_output(out);
        }
        std::string name(wb::name(kind));
        if (!shape.empty()) name += "/" + shape;
        out_.push_back({kind, std::move(name), g, bytes > 0 ? bytes : moved, g->matmul_flops().si(), g->flops().si()});
    }
    double size() const { return static_cast<double>(stored_bytes(type_)); }
    std::vector<Operator> take() { return std::move(out_); }

private:
    DType type_;
    std::vector<Operator> out_;
};

void products(Rows& r) {
    r.add(OpKind::matmul, {r.real({sequence, features}), r.real({features, hidden}, Role::weight)}, {},
          "2048x4096x2048");
    r.add(OpKind::matmul, {r.real({1, features}), r.real({features, vocabulary}, Role::weight)}, {}, "gemv");
    Attributes grouped;
    grouped.experts = experts;
    grouped.topk = chosen;
    r.add(OpKind::grouped_matmul,
          {r.real({sequence, features}), r.real({experts, features, hidden}, Role::weight),
           Rows::whole({sequence / chosen, chosen}, experts)},
          grouped, "forward");
    grouped.trans_a = true;
    r.add(OpKind::grouped_matmul,
          {r.real({sequence, features}), r.real({sequence, hidden}), Rows::whole({sequence / chosen, chosen}, experts)},
          grouped, "weights");
    Attributes each;
    each.heads = heads;
    each.rotary_dim = turning;
    r.add(OpKind::head_matmul,
          {r.real({sequence, heads * (head + turning)}), r.real({heads, head, latent}, Role::weight)}, each);
}

void attention(Rows& r) {
    Attributes a;
    a.heads = a.kv_heads = 2;
    a.seq = a.seq_kv = sequence;
    a.head_dim = a.v_head_dim = head;
    a.causal = true;
    a.scale = 1 / std::sqrt(static_cast<double>(head));
    const auto x = r.real({sequence, a.heads * head});
    r.add(OpKind::attention, {x, x, x}, a, "2048");
    const auto lse = Rows::single({a.heads, sequence}, std::log(static_cast<double>(sequence)));
    r.add(OpKind::attention_backward, {x, x, x, x, x, lse}, a, "2048");
    a.seq = 1;
    a.heads = heads;
    a.kv_heads = 4;
    a.seq_kv = 65536;
    const auto cache = r.real({a.seq_kv, a.kv_heads * head}, Role::state);
    r.add(OpKind::attention, {r.real({1, heads * head}), cache, cache}, a, "decode_65536");
    const auto decode = [&](std::int64_t batch, std::int64_t kv_heads, std::int64_t cached, const char* shape) {
        a.batch = batch;
        a.kv_heads = kv_heads;
        a.seq_kv = cached;
        const auto held = r.real({batch * cached, kv_heads * head}, Role::state);
        r.add(OpKind::attention, {r.real({batch, heads * head}), held, held}, a, shape);
    };
    decode(1, heads, 16384, "decode_16384_every_head");
    decode(8, 4, 8192, "decode_8x8192");
    decode(8, heads, 2048, "decode_8x2048_every_head");
}

void rows_of_features(Rows& r) {
    Attributes a;
    a.eps = 1e-5;
    const auto x = r.real({tokens, features}), row = r.real({features}, Role::weight);
    r.add(OpKind::layernorm, {x, row, row}, a);
    r.add(OpKind::layernorm_backward, {x, x, row}, a);
    r.add(OpKind::rmsnorm, {x, row}, a);
    r.add(OpKind::rmsnorm_backward, {x, x, row}, a);
    r.add(OpKind::softmax, {x});
    r.add(OpKind::softmax_backward, {x, x});
    for (const bool tanh : {true, false}) {
        a.tanh_form = tanh;
        r.add(OpKind::gelu, {x}, a, tanh ? "tanh" : "erf");
        r.add(OpKind::gelu_backward, {x, x}, a, tanh ? "tanh" : "erf");
    }
    r.add(OpKind::silu_mul, {x, x});
    r.add(OpKind::silu_mul_backward, {x, x, x});
    r.add(OpKind::add, {x, x});
    r.add(OpKind::sum_rows, {x});
    Attributes turn;
    turn.heads = heads;
    turn.rotary_dim = features / heads;
    turn.seq = sequence;
    turn.theta = 10000;
    r.add(OpKind::rope, {x}, turn, "halves");
    turn.interleaved = true;
    r.add(OpKind::rope, {x}, turn, "pairs");
    Attributes join;
    join.heads = heads;
    join.head_dim = head;
    join.rotary_dim = turning;
    r.add(OpKind::concat_heads, {x, r.real({tokens, turning})}, join);
    r.add(OpKind::concat_heads_backward, {r.real({tokens, heads * (head + turning)})}, join);
}

void tables(Rows& r) {
    const double rows = static_cast<double>(tokens * features) * r.size();
    const auto x = r.real({tokens, features}), table = r.real({vocabulary, features}, Role::weight);
    const auto ids = Rows::whole({tokens}, vocabulary);
    r.add(OpKind::embed, {ids, table}, {}, "", 2 * rows);
    Attributes a;
    a.rows = vocabulary;
    r.add(OpKind::embed_backward, {x, ids}, a);
    a.rows = a.seq = sequence;
    r.add(OpKind::position_embed, {x, r.real({sequence, features}, Role::weight)}, a);
    r.add(OpKind::position_embed_backward, {x}, a);
    a.batch = tokens / 2;
    a.seq = 2;
    a.rows = tokens;
    r.add(OpKind::last_rows, {x}, a, "", rows);
    r.add(OpKind::last_rows_backward, {r.real({tokens / 2, features})}, a);
    Attributes cache;
    cache.batch = 4;
    cache.seq = tokens / 8;
    cache.seq_kv = tokens / 4;
    r.add(OpKind::cache_write, {r.real({tokens, features}, Role::state), r.real({tokens / 2, features})}, cache, "",
          rows);
}

void mixture(Rows& r) {
    Attributes a;
    a.experts = experts;
    a.topk = chosen;
    constexpr std::int64_t many = 16 * tokens;
    const auto logits = r.real({many, experts});
    const auto index = Rows::whole({tokens, chosen}, experts);
    const auto gates = Rows::single({tokens, chosen}, 0.5), many_gates = Rows::single({many, chosen}, 0.5);
    const auto x = r.real({tokens, features}), spread = r.real({tokens * chosen, features});
    r.add(OpKind::topk_gate, {logits}, a);
    r.add(OpKind::topk_gate_backward, {many_gates, logits, Rows::whole({many, chosen}, experts), many_gates}, a);
    r.add(OpKind::moe_dispatch, {x, index}, a);
    r.add(OpKind::moe_combine, {spread, index, gates}, a);
    r.add(OpKind::moe_combine_backward, {x, spread, index, gates}, a);
}

void loss(Rows& r) {
    constexpr std::int64_t rows = 1024;
    const auto logits = r.real({rows, vocabulary});
    const auto targets = Rows::whole({rows}, vocabulary);
    r.add(OpKind::cross_entropy, {logits, targets});
    r.add(OpKind::cross_entropy_backward,
          {logits, targets, Rows::single({rows}, std::log(static_cast<double>(vocabulary)))});
    Attributes shared;
    shared.ranks = 4;
    r.add(OpKind::cross_entropy_join, {Rows::single({shared.ranks * tokens, 3}, 1.0)}, shared);
}

void update(Rows& r) {
    const Shape shape{tokens, features};
    const auto zero = [&] { return Rows::single(shape, 0.0, Role::state); };
    Attributes a;
    a.rate = 1e-3;
    a.beta1 = 0.9;
    a.beta2 = 0.999;
    a.eps = 1e-8;
    std::vector<Rows::In> in{r.real(shape, Role::weight), r.real(shape), zero(), zero()};
    if (r.size() < 4) in.push_back(zero());  // the weights in f32
    r.add(OpKind::adamw, in, a);
}

}  // namespace

std::vector<Operator> operators(DType type) {
    Rows rows(type);
    for (const auto part : {products, attention, rows_of_features, tables, mixture, loss, update}) part(rows);
    return rows.take();
}

std::vector<OpKind> without_operator() {
    std::set<OpKind> known{OpKind::collective, OpKind::read, OpKind::load, OpKind::write, OpKind::compile};
    for (const Operator& o : operators(DType::f32)) known.insert(o.kind);
    std::vector<OpKind> out;
    for (const KindRow& row : kinds)
        if (!known.contains(row.kind)) out.push_back(row.kind);
    return out;
}

}  // namespace wb::cpu
