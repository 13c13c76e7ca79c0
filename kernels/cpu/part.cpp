#include "kernels/cpu/part.hpp"

#include "core/replicate.hpp"

namespace wb::cpu {
namespace {

Part part(Partition&& from) {
    Part out{std::move(from.local), {}, {}};
    for (const Partition::Piece& p : from.pieces) out.pieces.push_back({p, 0});
    return out;
}

/// First the model is cut, then the batch of each cut.
Part cut_twice(const Graph& graph, const Mapping& mapping, int rank) {
    Mapping by_model;
    by_model.tensor = mapping.tensor;
    const Partition once = partition(graph, by_model, rank % mapping.tensor);
    Part out = part(replicate(once.local, mapping.data, rank / mapping.tensor));
    const auto known = [&](TensorId id) { return index(id) < once.pieces.size(); };
    for (const Op& op : out.local.ops())
        out.among_replicas.push_back(op.kind == OpKind::collective && !known(out.pieces[index(op.out[0])].whole));
    for (Piece& piece : out.pieces) {
        if (!known(piece.whole)) continue;
        const Partition::Piece& first = once.pieces[index(piece.whole)];
        const bool by_rows = piece.layout.kind == Layout::Kind::sharded;
        if (first.layout.kind == Layout::Kind::replicated)
            piece.whole = first.whole;
        else
            piece = {first, by_rows ? piece.first : 0};
    }
    return out;
}

}  // namespace

Part part_of(const Graph& graph, const Mapping& mapping, int rank) {
    if (mapping.data > 1 && mapping.tensor > 1) return cut_twice(graph, mapping, rank);
    Part out{graph, {}, {}};
    if (mapping.data > 1)
        out = part(replicate(graph, mapping.data, rank));
    else if (mapping.tensor > 1)
        out = part(partition(graph, mapping, rank));
    else
        for (std::size_t i = 0; i < graph.tensors().size(); ++i) out.pieces.push_back({{tensor_id(i), {}, 0}, 0});
    for (const Op& op : out.local.ops())
        out.among_replicas.push_back(op.kind == OpKind::collective && mapping.data > 1);
    return out;
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

}  // namespace wb::cpu
