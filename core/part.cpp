#include "core/part.hpp"

#include "core/replicate.hpp"

namespace wb {
namespace {

/// First the model is cut, then the batch of each cut.
Partition cut_twice(const Graph& graph, const Mapping& mapping, int rank) {
    Mapping by_model;
    by_model.tensor = mapping.tensor;
    const Partition once = partition(graph, by_model, rank % mapping.tensor);
    Partition out = replicate(once.local, mapping.data, rank / mapping.tensor);
    const auto known = [&](TensorId id) { return index(id) < once.pieces.size(); };
    for (const Op& op : out.local.ops())
        out.among_replicas.push_back(op.kind == OpKind::collective && !known(out.pieces[index(op.out[0])].whole));
    for (Partition::Piece& piece : out.pieces) {
        if (!known(piece.whole)) continue;
        const Partition::Piece& first = once.pieces[index(piece.whole)];
        const bool by_rows = piece.layout.kind == Layout::Kind::sharded;
        if (first.layout.kind == Layout::Kind::replicated)
            piece.whole = first.whole;
        else
            piece = {first.whole, first.layout, first.first, by_rows ? piece.first : 0};
    }
    return out;
}

}  // namespace

Partition part_of(const Graph& graph, const Mapping& mapping, int rank) {
    if (mapping.data > 1 && mapping.tensor > 1) return cut_twice(graph, mapping, rank);
    Partition out{graph, {}};
    if (mapping.data > 1)
        out = replicate(graph, mapping.data, rank);
    else if (mapping.tensor > 1)
        out = partition(graph, mapping, rank);
    else
        for (std::size_t i = 0; i < graph.tensors().size(); ++i) out.pieces.push_back({tensor_id(i), {}});
    for (const Op& op : out.local.ops())
        out.among_replicas.push_back(op.kind == OpKind::collective && mapping.data > 1);
    return out;
}

GlobalIndex global_index(const Shape& local, const Partition::Piece& piece, const Shape& whole) {
    if (piece.layout.kind != Layout::Kind::sharded) return {0, elements(local), elements(local)};
    const auto dim = static_cast<std::size_t>(piece.layout.dim);
    std::int64_t inner = 1;
    for (std::size_t d = dim + 1; d < local.size(); ++d) inner *= local[d];
    const std::int64_t row = elements(whole) / whole[0];
    return {piece.first * inner + piece.first_row * row, local[dim] * inner, whole[dim] * inner};
}

Flops repeated_work(const Graph& local) {
    Flops sum;
    for (const Block& block : local.blocks())
        for (int i = block.first; i < block.last; ++i) {
            const Op& op = local.ops()[i];
            std::vector<Operand> in;
            for (TensorId id : op.in) in.push_back({&local.tensor(id).shape, local.tensor(id).dtype});
            const Work w = work(op.kind, in, op.attributes);
            sum += (w.matmul + w.vector) * (static_cast<double>(block.repeat) * (1 - op.attributes.share));
        }
    return sum;
}

}  // namespace wb
