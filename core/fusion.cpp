#include "core/fusion.hpp"

#include <algorithm>
#include <numeric>

namespace wb {
namespace {

/// Who reads and writes every tensor of a graph.
class Uses {
public:
    explicit Uses(const Graph& g) : g_(g), readers_(g.tensors().size()), elsewhere_(g.tensors().size(), false) {
        for (std::size_t i = 0; i < g.ops().size(); ++i)
            for (TensorId id : g.ops()[i].in) readers_[index(id)].push_back(static_cast<int>(i));
        for (std::size_t i = 0; i < elsewhere_.size(); ++i) elsewhere_[i] = g.tensors()[i].role != Role::activation;
        for (const Block& block : g.blocks())
            for (const Carry& c : block.carries)
                for (TensorId id : {c.init, c.in, c.out, c.result}) elsewhere_[index(id)] = true;
    }

    /// Ops that read it, one entry for every operand.
    const std::vector<int>& readers(TensorId id) const { return readers_[index(id)]; }
    /// Nothing but one operand of one op asks for it.
    bool only_one(TensorId id) const { return readers(id).size() == 1 && !elsewhere_[index(id)]; }

    /// Is `id`, an operand of op `reader`, the same at the place of op `at`, before it?
    bool there(TensorId id, int at, int reader) const {
        for (int i = at + 1; i < reader; ++i) {
            const std::vector<TensorId>& out = g_.ops()[static_cast<std::size_t>(i)].out;
            if (std::find(out.begin(), out.end(), id) != out.end()) return false;
        }
        return true;
    }

private:
    const Graph& g_;
    std::vector<std::vector<int>> readers_;
    std::vector<bool> elsewhere_;
};

/// Finds what can follow each matmul of one block.
class Finder {
public:
    Finder(const Graph& g, const std::function<bool(const Fusion&)>& accept)
        : g_(g), uses_(g), accept_(accept), taken_(g.ops().size(), false) {
        found_.place.resize(g.ops().size());
        std::iota(found_.place.begin(), found_.place.end(), 0);
        found_.absent.assign(g.tensors().size(), false);
    }

    FusedOps run() {
        for (const Block& block : g_.blocks())
            for (int i = block.first; i < block.last; ++i)
                if (op(i).kind == OpKind::matmul) offer(i, block);
        return std::move(found_);
    }

private:
    const Op& op(int i) const { return g_.ops()[static_cast<std::size_t>(i)]; }

    void offer(int product, const Block& block) {
        Fusion most{product};
        find_follower(most, block);
        find_sum(most, block);
        Fusion without_sum = most, sum_alone{product};
        without_sum.sum = -1;
        without_sum.summed = Fusion::Summed::none;
        if (most.summed != Fusion::Summed::result) sum_alone.sum = most.sum, sum_alone.summed = most.summed;
        for (const Fusion& f : {most, without_sum, sum_alone})
            if (!f.others().empty() && accept_(f)) return keep(f);
    }

    /// What is done with the result element by element.
    void find_follower(Fusion& f, const Block& block) const {
        const TensorId y = op(f.product).out[0];
        const bool alone = uses_.only_one(y);
        for (const int i : uses_.readers(y)) {
            if (i <= f.product || i >= block.last || taken_[static_cast<std::size_t>(i)]) continue;
            const Op& o = op(i);
            if (!alike(o)) continue;
            if (o.kind == OpKind::gelu && o.attributes.tanh_form) {
                f.activation = i;
                f.kept = !alone;
            } else if (o.kind == OpKind::gelu_backward && o.attributes.tanh_form && alone && o.in[0] == y &&
                       uses_.there(o.in[1], f.product, i)) {
                f.activation = i;
            } else if (o.kind == OpKind::add && alone && uses_.there(o.in[o.in[0] == y ? 1 : 0], f.product, i)) {
                f.add = i;
            } else {
                continue;
            }
            return;
        }
    }

    void find_sum(Fusion& f, const Block& block) const {
        const Op& product = op(f.product);
        const auto of = [&](TensorId id, Fusion::Summed what) {
            if (f.sum >= 0) return;
            for (const int i : uses_.readers(id))
                if (i > f.product && i < block.last && op(i).kind == OpKind::sum_rows && alike(op(i)) &&
                    !taken_[static_cast<std::size_t>(i)] &&
                    (what == Fusion::Summed::result || uses_.there(id, f.product, i))) {
                    f.sum = i;
                    f.summed = what;
                    return;
                }
        };
        if (f.activation >= 0 && op(f.activation).kind == OpKind::gelu_backward)
            of(op(f.activation).out[0], Fusion::Summed::result);
        if (product.in.size() > 2) return;  // libraries have one vector: the bias or the sum
        if (!product.attributes.trans_b) of(product.in[1], Fusion::Summed::second);
        if (product.attributes.trans_a) of(product.in[0], Fusion::Summed::first);
    }

    bool alike(const Op& o) const {
        const DType type = g_.tensor(o.out[0]).dtype;
        return std::all_of(o.in.begin(), o.in.end(), [&](TensorId id) { return g_.tensor(id).dtype == type; });
    }

    void keep(const Fusion& f) {
        for (const int i : f.others()) {
            taken_[static_cast<std::size_t>(i)] = true;
            found_.place[static_cast<std::size_t>(i)] = f.product;
        }
        if ((f.activation >= 0 && !f.kept) || f.add >= 0) found_.absent[index(op(f.product).out[0])] = true;
        found_.fusions.push_back(f);
    }

    const Graph& g_;
    const Uses uses_;
    const std::function<bool(const Fusion&)>& accept_;
    std::vector<bool> taken_;
    FusedOps found_;
};

}  // namespace

std::vector<int> Fusion::others() const {
    std::vector<int> out;
    for (const int i : {activation, add, sum})
        if (i >= 0) out.push_back(i);
    return out;
}

std::vector<int> FusedOps::computed_at(int op) const {
    if (place_of(op) != op) return {};
    std::vector<int> out{op};
    for (const Fusion& f : fusions)
        if (f.product == op)
            for (const int i : f.others()) out.push_back(i);
    return out;
}

FusedOps fuse(const Graph& g, const std::function<bool(const Fusion&)>& accept) { return Finder(g, accept).run(); }

}  // namespace wb
