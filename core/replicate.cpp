#include "core/replicate.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"
#include "core/graph_editor.hpp"

namespace wb {
namespace {

constexpr TensorId none{-1};

class Replicator {
public:
    Replicator(const Graph& g, int replicas, int rank)
        : g_(g), replicas_(replicas), rank_(rank), editor_(g), local_(g.tensors().size(), none) {}

    Partition run() {
        for (block_ = 0; block_ < static_cast<int>(g_.blocks().size()); ++block_) {
            const Block& block = g_.blocks()[block_];
            for (const Carry& c : block.carries) existing(c.init);
            editor_.block(block_).first = editor_.block(block_).last = editor_.ops();
            for (const Carry& c : block.carries) bind(c.in, like(c.in, c.init));
            for (int i = block.first; i < block.last; ++i) place(g_.ops()[i]);
            std::vector<Carry>& carries = editor_.block(block_).carries;
            for (std::size_t i = 0; i < block.carries.size(); ++i) {
                const Carry& c = block.carries[i];
                bind(c.result, like(c.result, c.out));
                carries[i] = {at(c.init), at(c.in), at(c.out), at(c.result)};
            }
            editor_.block(block_).last = editor_.ops();
        }
        pieces_.resize(editor_.local.tensors().size(), {none, {}, 0});
        return {std::move(editor_.local), std::move(pieces_)};
    }

private:
    static constexpr Layout replicated{}, by_rows{Layout::Kind::sharded, 0}, summand{Layout::Kind::partial, 0};

    TensorId at(TensorId whole) const { return local_[index(whole)]; }

    /// Binds a tensor as it now is: shorter by rows, or a summand where it is a gradient of the shape of a weight.
    void bind(TensorId whole, TensorId local) {
        const Shape &all = g_.tensor(whole).shape, &mine = editor_.at(local).shape;
        const Role role = g_.tensor(whole).role;
        const bool kept = role == Role::weight || role == Role::state;
        const Layout layout = all != mine ? by_rows : kept ? replicated : summand;
        local_[index(whole)] = local;
        if (pieces_.size() <= index(local)) pieces_.resize(index(local) + 1, {none, {}, 0});
        pieces_[index(local)] = {whole, layout, layout == by_rows ? all[0] / replicas_ * rank_ : 0};
    }

    TensorId like(TensorId whole, TensorId other) {
        Tensor t = g_.tensor(whole);
        t.shape = editor_.at(at(other)).shape;
        return editor_.tensor(std::move(t));
    }

    /// The local tensor; what exists before the run is made when first met.
    TensorId existing(TensorId whole) {
        if (at(whole) != none) return at(whole);
        Tensor t = g_.tensor(whole);
        if (t.role == Role::input || is_cache(whole)) {
            if (t.shape[0] % replicas_ != 0)
                throw Error({fmt::format("data = {}", replicas_),
                             fmt::format("\"{}\" has {} rows, which do not divide", t.name, t.shape[0]),
                             "every replica takes an equal part of the batch", "Use a batch that divides."});
            t.shape[0] /= replicas_;
        }
        bind(whole, editor_.tensor(std::move(t)));
        return at(whole);
    }

    /// Keys and values belong to the sequences they are of; all other state is of weights.
    bool is_cache(TensorId whole) const {
        return std::any_of(g_.ops().begin(), g_.ops().end(),
                           [&](const Op& op) { return op.kind == OpKind::cache_write && op.in[0] == whole; });
    }

    TensorId summed(TensorId gradient) {
        Attributes a;
        a.collective = CollectiveKind::allreduce;
        a.ranks = replicas_;
        return editor_.op(OpKind::collective, "allreduce_" + g_.tensor(gradient).name, {existing(gradient)}, a, block_)
            .front();
    }

    void place(const Op& op) {
        const auto& moves = {OpKind::read, OpKind::load, OpKind::write, OpKind::compile};
        Attributes a = op.attributes;
        std::vector<TensorId> in;
        for (const TensorId id : op.in) in.push_back(existing(id));
        if (op.kind == OpKind::adamw) {
            in[1] = summed(op.in[1]);
            a.share /= replicas_;
        } else if (std::find(moves.begin(), moves.end(), op.kind) == moves.end()) {
            cut(op, a);
        }
        const std::vector<TensorId> made = editor_.op(op.kind, op.name, in, a, block_);
        for (std::size_t i = 0; i < op.out.size(); ++i) {
            if (std::find(op.in.begin(), op.in.end(), op.out[i]) != op.in.end() || at(op.out[i]) != none) continue;
            editor_.at(made[i]).role = g_.tensor(op.out[i]).role;
            bind(op.out[i], made[i]);
        }
    }

    void cut(const Op& op, Attributes& a) const {
        if (a.batch > 1 || op.kind == OpKind::attention || op.kind == OpKind::attention_backward) {
            if (a.batch % replicas_ != 0)
                throw Error({fmt::format("data = {}", replicas_),
                             fmt::format("\"{}\" holds {} sequences, which do not divide", op.name, a.batch),
                             "every replica takes an equal part of the batch", "Use a batch that divides."});
            a.batch /= replicas_;
        }
        if (op.kind == OpKind::last_rows_backward) a.rows /= replicas_;
        const bool shared = std::any_of(op.in.begin(), op.in.end(),
                                        [this](TensorId id) { return pieces_[index(at(id))].layout == by_rows; });
        if (!shared) a.share /= replicas_;  // sums of gradients: every rank does all of them
    }

    const Graph& g_;
    const int replicas_, rank_;
    int block_ = 0;
    GraphEditor editor_;
    std::vector<TensorId> local_;
    std::vector<Partition::Piece> pieces_;
};

}  // namespace

Partition replicate(const Graph& g, int replicas, int rank) {
    WB_EXPECT(replicas >= 1 && rank >= 0 && rank < replicas);
    return Replicator(g, replicas, rank).run();
}

}  // namespace wb
