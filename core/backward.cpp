#include "core/backward.hpp"

#include <algorithm>
#include <map>

#include "core/error.hpp"

namespace wb {
namespace {

/// Walks the forward part of a graph backwards and appends the gradient of each op.
class Differentiator {
public:
    Differentiator(Graph& g, const std::vector<Gradient>& seeds, const std::vector<TensorId>& wanted,
                   const std::vector<TensorId>& frozen)
        : g_(g),
          blocks_(g.blocks().begin(), g.blocks().end()),
          ops_(g.ops().begin(), g.ops().end()),
          needed_(g.tensors().size(), false),
          gradient_(g.tensors().size(), none) {
        for (std::size_t i = 0; i < needed_.size(); ++i) needed_[i] = g.tensors()[i].role == Role::weight;
        for (TensorId id : frozen) needed_[index(id)] = false;
        for (TensorId id : wanted) needed_[index(id)] = true;
        find_needed();
        for (const Gradient& s : seeds) gradient_[index(s.of)] = s.gradient;
    }

    void run() {
        for (auto block = blocks_.rbegin(); block != blocks_.rend(); ++block)
            if (block->repeat == 1 && block->carries.empty()) {
                walk(*block);
            } else {
                repeat(*block);
            }
    }

    std::vector<Gradient> result(const std::vector<TensorId>& wanted) const {
        std::vector<Gradient> out;
        for (std::size_t i = 0; i < gradient_.size(); ++i) {
            const TensorId id = tensor_id(i);
            const bool asked =
                g_.tensor(id).role == Role::weight || std::find(wanted.begin(), wanted.end(), id) != wanted.end();
            if (asked && gradient_[i] != none) out.push_back({id, gradient_[i]});
        }
        return out;
    }

private:
    static constexpr TensorId none{-1};
    using Ids = std::vector<TensorId>;

    void find_needed() {
        for (int pass = 0; pass < 2; ++pass)  // twice: what an iteration hands on may need its own output
            for (const Block& block : blocks_) {
                for (const Carry& c : block.carries)
                    if (needed_[index(c.init)] || needed_[index(c.out)]) needed_[index(c.in)] = true;
                for (int i = block.first; i < block.last; ++i) {
                    const bool any = std::any_of(ops_[i].in.begin(), ops_[i].in.end(),
                                                 [&](TensorId id) { return needed_[index(id)]; });
                    if (any)
                        for (TensorId id : ops_[i].out)
                            if (g_.tensor(id).dtype != DType::int32) needed_[index(id)] = true;
                }
                for (const Carry& c : block.carries)
                    if (needed_[index(c.out)]) needed_[index(c.result)] = true;
            }
    }

    void walk(const Block& block) {
        for (int i = block.last - 1; i >= block.first; --i) differentiate(ops_[i]);
    }

    /// A gradient handed from iteration to iteration: of a carried value, or the sum for a tensor all iterations share.
    struct Link {
        TensorId start, end;  ///< iterations begin with the gradient of `start` and hand on that of `end`
        TensorId init;        ///< gradient to begin with
        TensorId of;          ///< tensor outside whose gradient the last one is
    };

    TensorId or_zero(TensorId of, TensorId gradient) {
        if (gradient != none) return gradient;
        const Tensor t = g_.tensor(of);
        return g_.input("d_" + t.name + ".zero", t.shape, t.dtype, {Fill::Kind::constant, 0});
    }

    static std::size_t differentiated_output(const Op& op) { return op.kind == OpKind::topk_gate ? 1 : 0; }

    /// The tensors of a repeated block, and those outside it, to which any of its iterations gives a gradient.
    std::vector<bool> reach(const Block& block) const {
        std::vector<bool> reached(needed_.size(), false);
        for (const Carry& c : block.carries)
            if (gradient_[index(c.result)] != none) reached[index(c.out)] = true;
        for (bool grown = true; grown;) {
            grown = false;
            for (int i = block.last - 1; i >= block.first; --i) {
                const TensorId out = ops_[i].out[differentiated_output(ops_[i])];
                const bool given = gradient_[index(out)] != none || ops_[i].kind == OpKind::cross_entropy;
                if (!reached[index(out)] && !given) continue;
                for (TensorId id : ops_[i].in) reached[index(id)] = reached[index(id)] || needed_[index(id)];
            }
            for (const Carry& c : block.carries)
                if (reached[index(c.in)] && !reached[index(c.out)]) reached[index(c.out)] = grown = true;
        }
        return reached;
    }

    std::vector<Link> links(const Block& block, const std::vector<bool>& reached) {
        std::vector<Link> out;
        for (const Carry& c : block.carries)
            if (reached[index(c.out)]) out.push_back({c.out, c.in, or_zero(c.out, gradient_[index(c.result)]), c.init});
        const int at = static_cast<int>(&block - blocks_.data());
        for (std::size_t i = 0; i < reached.size(); ++i)
            if (const TensorId id = tensor_id(i); reached[i] && g_.tensor(id).block != at)
                out.push_back({id, id, or_zero(id, gradient_[i]), id});
        return out;
    }

    void repeat(const Block& block) {
        const std::vector<bool> reached = reach(block);
        if (std::none_of(reached.begin(), reached.end(), [](bool r) { return r; })) return;
        const std::vector<Link> links = this->links(block, reached);
        Ids init;
        for (const Link& l : links) init.push_back(l.init);
        const auto body = [&](const Ids& in) {
            for (std::size_t i = 0; i < in.size(); ++i) {
                if (links[i].start == links[i].end)
                    gradient_[index(links[i].start)] = in[i];
                else
                    accumulate(links[i].start, in[i]);
            }
            walk(block);
            Ids out;
            for (const Link& l : links) {
                out.push_back(gradient_[index(l.end)]);
                if (out.back() == none)
                    throw Error({"repeated value \"" + g_.tensor(l.end).name + "\"", "is not used by its iteration",
                                 "no gradient can be handed on", ""});
            }
            return out;
        };
        const Ids last = g_.repeat(block.repeat, init, body, !block.reversed);
        for (std::size_t i = 0; i < last.size(); ++i) {
            if (links[i].start == links[i].end)
                gradient_[index(links[i].of)] = last[i];
            else if (needed_[index(links[i].of)])
                accumulate(links[i].of, last[i]);
        }
    }

    void accumulate(TensorId of, TensorId gradient) {
        TensorId& g = gradient_[index(of)];
        g = g == none ? gradient : g_.add(OpKind::add, "d_" + g_.tensor(of).name + ".sum", {g, gradient});
    }

    /// Appends one gradient op; its outputs are the gradients of `of`, none entries skipped.
    void emit(OpKind kind, const Op& op, Ids in, const Ids& of, const Attributes& attributes) {
        const Ids out = g_.apply(kind, "d_" + op.name, std::move(in), attributes);
        for (std::size_t i = 0; i < of.size(); ++i)
            if (of[i] != none && needed_[index(of[i])]) accumulate(of[i], out[i]);
    }

    void matmul(const Op& op, TensorId dy) {
        const Attributes& a = op.attributes;
        WB_EXPECT(!a.trans_a);
        if (g_.tensor(op.in[0]).shape.size() != g_.tensor(op.in[1]).shape.size())
            throw Error({"matmul \"" + op.name + "\"", "has one second matrix for a whole batch",
                         "its gradient would be a sum over the batch", "Make the batch part of the rows."});
        Attributes to_a, to_b;
        to_a.trans_b = !a.trans_b;
        to_a.adapter = to_b.adapter = a.adapter;
        if (needed_[index(op.in[1])]) {
            to_b.trans_a = true;
            const Ids in = a.trans_b ? Ids{dy, op.in[0]} : Ids{op.in[0], dy};
            accumulate(op.in[1], g_.add(OpKind::matmul, "dw_" + op.name, in, to_b));
        }
        if (needed_[index(op.in[0])])
            accumulate(op.in[0], g_.add(OpKind::matmul, "dx_" + op.name, {dy, op.in[1]}, to_a));
        if (op.in.size() > 2 && needed_[index(op.in[2])])
            accumulate(op.in[2], g_.add(OpKind::sum_rows, "db_" + op.name, {dy}));
    }

    void grouped_matmul(const Op& op, TensorId dy) {
        Attributes to_x = op.attributes, to_w = op.attributes;
        to_x.trans_b = !op.attributes.trans_b;
        to_w.trans_a = true;
        to_w.trans_b = false;
        const Ids in = op.attributes.trans_b ? Ids{dy, op.in[0], op.in[2]} : Ids{op.in[0], dy, op.in[2]};
        if (needed_[index(op.in[1])]) accumulate(op.in[1], g_.add(OpKind::grouped_matmul, "dw_" + op.name, in, to_w));
        if (needed_[index(op.in[0])])
            accumulate(op.in[0], g_.add(OpKind::grouped_matmul, "dx_" + op.name, {dy, op.in[1], op.in[2]}, to_x));
    }

    void embed(const Op& op, TensorId dy) {
        Attributes a = op.attributes;
        const TensorId table = op.in[1];
        a.rows = g_.tensor(table).shape[0];
        TensorId& so_far = gradient_[index(table)];
        a.accumulate = so_far != none;
        Ids in{dy, op.in[0]};
        if (a.accumulate) in.push_back(so_far);
        so_far = g_.add(OpKind::embed_backward, "d_" + op.name, in, a);
    }

    void differentiate(const Op& op);

    Graph& g_;
    std::vector<Block> blocks_;  // copies: the graph grows under the walk
    std::vector<Op> ops_;
    std::vector<bool> needed_;
    std::vector<TensorId> gradient_;
};

void Differentiator::differentiate(const Op& op) {
    const auto wanted = [&](std::size_t i) { return needed_[index(op.in[i])]; };
    if (op.kind == OpKind::cross_entropy && needed_[index(op.in[0])]) {
        Attributes a = op.attributes;
        a.scale = 1.0 / static_cast<double>(g_.tensor(op.in[1]).shape[0]);
        emit(OpKind::cross_entropy_backward, op, {op.in[0], op.in[1], op.out[1]}, {op.in[0]}, a);
        return;
    }
    const TensorId dy = gradient_[index(op.out[differentiated_output(op)])];
    if (dy == none) return;
    Attributes a = op.attributes;
    const Ids& in = op.in;
    switch (op.kind) {
        case OpKind::matmul: matmul(op, dy); break;
        case OpKind::grouped_matmul: grouped_matmul(op, dy); break;
        case OpKind::attention:
            emit(OpKind::attention_backward, op, {dy, in[0], in[1], in[2], op.out[0], op.out[1]}, {in[0], in[1], in[2]},
                 a);
            break;
        case OpKind::layernorm:
            emit(OpKind::layernorm_backward, op, {dy, in[0], in[1]}, {in[0], in[1], in[2]}, a);
            break;
        case OpKind::rmsnorm: emit(OpKind::rmsnorm_backward, op, {dy, in[0], in[1]}, {in[0], in[1]}, a); break;
        case OpKind::softmax: emit(OpKind::softmax_backward, op, {dy, op.out[0]}, {in[0]}, a); break;
        case OpKind::gelu: emit(OpKind::gelu_backward, op, {dy, in[0]}, {in[0]}, a); break;
        case OpKind::silu_mul: emit(OpKind::silu_mul_backward, op, {dy, in[0], in[1]}, {in[0], in[1]}, a); break;
        case OpKind::rope:
            a.inverse = !a.inverse;
            emit(OpKind::rope, op, {dy}, {in[0]}, a);
            break;
        case OpKind::add:
            if (wanted(0)) accumulate(in[0], dy);
            if (wanted(1)) accumulate(in[1], dy);
            break;
        case OpKind::embed: embed(op, dy); break;
        case OpKind::position_embed:
            a.rows = g_.tensor(in[1]).shape[0];
            emit(OpKind::position_embed_backward, op, {dy}, {in[1]}, a);
            if (wanted(0)) accumulate(in[0], dy);
            break;
        case OpKind::last_rows:
            a.rows = g_.tensor(in[0]).shape[0];
            emit(OpKind::last_rows_backward, op, {dy}, {in[0]}, a);
            break;
        case OpKind::concat_heads: emit(OpKind::concat_heads_backward, op, {dy}, {in[0], in[1]}, a); break;
        case OpKind::topk_gate:
            emit(OpKind::topk_gate_backward, op, {dy, in[0], op.out[0], op.out[1]}, {in[0]}, a);
            break;
        case OpKind::moe_dispatch: emit(OpKind::moe_combine, op, {dy, in[1]}, {in[0]}, a); break;
        case OpKind::moe_combine:
            if (in.size() < 3) {  // plain sums: the gradient of every row is its token's
                emit(OpKind::moe_dispatch, op, {dy, in[1]}, {in[0]}, a);
                break;
            }
            emit(OpKind::moe_combine_backward, op, {dy, in[0], in[1], in[2]}, {in[0], in[2]}, a);
            break;
        default: throw Error({"op \"" + op.name + "\"", "has no gradient", "this graph cannot be trained", ""});
    }
}

}  // namespace

std::vector<Gradient> derive_backward(Graph& g, const std::vector<Gradient>& seeds, const std::vector<TensorId>& wanted,
                                      const std::vector<TensorId>& frozen) {
    Differentiator d(g, seeds, wanted, frozen);
    g.phase("backward");
    d.run();
    return d.result(wanted);
}

void add_update(Graph& g, const std::vector<Gradient>& gradients, const AdamW& settings) {
    Attributes a;
    a.rate = settings.rate;
    a.beta1 = settings.beta1;
    a.beta2 = settings.beta2;
    a.eps = settings.epsilon;
    a.decay = settings.decay;
    g.phase("update");
    const auto update = [&](const Gradient& x) {
        const Tensor t = g.tensor(x.of);
        const DType moment = t.dtype == DType::f64 ? DType::f64 : DType::f32;
        std::vector<TensorId> in{x.of, x.gradient};
        in.push_back(g.state(t.name + ".m", t.shape, moment));
        in.push_back(g.state(t.name + ".v", t.shape, moment));
        if (bits(t.dtype) < 32) {  // begins as the weight does
            Fill same = t.fill;
            same.stream = t.name;
            in.push_back(g.state(t.name + ".master", t.shape, DType::f32, same));
        }
        g.apply(OpKind::adamw, "update_" + t.name, in, a);
    };
    std::map<int, std::vector<Gradient>> by_block;  // one update block for each block that holds weights
    for (const Gradient& x : gradients) by_block[g.tensor(x.of).block].push_back(x);
    for (const auto& [block, members] : by_block) {
        if (block < 0) {
            for (const Gradient& x : members) update(x);
            continue;
        }
        g.repeat(g.blocks()[block].repeat, {}, [&, &mine = members](const std::vector<TensorId>&) {
            for (const Gradient& x : mine) update(x);
            return std::vector<TensorId>{};
        });
    }
}

}  // namespace wb
