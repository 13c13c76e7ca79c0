#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/graph_editor.hpp"
#include "core/partition.hpp"

namespace wb {

/// Cuts one graph for one rank: walks its ops in order and fixes, at each, how the tensors it meets lie on the ranks.
class Partitioner {
public:
    Partitioner(const Graph& g, int ranks, int rank)
        : g_(g),
          ranks_(ranks),
          rank_(rank),
          editor_(g),
          local_(g.tensors().size(), none),
          summand_(g.tensors().size(), none),
          layout_(g.tensors().size()) {}

    Partition run();

private:
    using Ids = std::vector<TensorId>;

    static constexpr TensorId none{-1};
    static constexpr Layout replicated{}, partial{Layout::Kind::partial, 0}, own{Layout::Kind::own, 0};
    static constexpr Layout sharded(int dim) { return {Layout::Kind::sharded, dim}; }

    // Tensors (partition.cpp).
    Layout layout(TensorId whole) const { return layout_[index(whole)].value_or(replicated); }
    bool undecided(TensorId whole) const { return !layout_[index(whole)].has_value(); }
    static bool given(const Tensor& t);
    bool free_choice(TensorId whole) const { return undecided(whole) && given(g_.tensor(whole)); }

    /// This rank's part of a dimension; Error where it is too short for all of them.
    Range range(TensorId whole, int dim, std::int64_t granule = 1) const;

    /// Fixes the layout of a tensor that exists before the run and creates its local piece.
    TensorId decide(TensorId whole, Layout l, std::int64_t granule = 1);

    void bind(TensorId whole, TensorId local, Layout l, std::int64_t first = 0);

    std::int64_t first_of(TensorId whole) const { return pieces_[index(local_[index(whole)])].first; }

    /// The local tensor, created replicated if nobody decided yet.
    TensorId as_is(TensorId whole) { return undecided(whole) ? decide(whole, replicated) : local_[index(whole)]; }

    /// The whole tensor on every rank: sums partial ones.
    TensorId whole(TensorId id);

    void begin_carries(const Block& block);
    void bind_carries(const Block& block);
    void end_carries(const Block& block);

    // Operators (partition_ops.cpp): each emits the local form of one op of the whole graph.
    void emit(const Op& op, Ids in, Attributes a, const std::vector<Layout>& out, std::int64_t first = 0);

    /// On every rank all of it.
    void repeated(const Op& op);

    bool is_cut(TensorId id, int dim) const { return !undecided(id) && layout(id) == sharded(dim); }

    /// May the columns of this activation stay cut, through all its forward uses?
    bool columns_may_be_cut(TensorId id) const;
    bool use_accepts_columns(const Op& op, std::size_t i) const;

    /// One key-value head may serve cut query heads whole; otherwise both must divide.
    bool heads_divide(const Attributes& a) const;

    void matmul(const Op& op);
    void grouped_matmul(const Op& op);
    void attention(const Op& op);
    void by_heads(const Op& op);
    void table(const Op& op);
    void loss(const Op& op);
    void rows_or_columns(const Op& op);
    void collective(const Op& op);
    void experts(const Op& op);
    void update(const Op& op);
    void moved(const Op& op);
    void place(const Op& op);

    const Graph& g_;
    const int ranks_, rank_;
    int block_ = 0;
    GraphEditor editor_;
    Ids local_;
    Ids summand_;  ///< of tensors that were summed over the ranks: this rank's part
    std::vector<std::optional<Layout>> layout_;
    std::vector<Partition::Piece> pieces_;
};

}  // namespace wb
