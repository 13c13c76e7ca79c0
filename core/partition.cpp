#include "core/partition.hpp"

#include <fmt/format.h>

#include "core/error.hpp"
#include "core/partitioner.hpp"

namespace wb {

Range shard(std::int64_t extent, int rank, int ranks, std::int64_t granule) {
    const std::int64_t units = extent / granule;
    const std::int64_t first = units * rank / ranks, last = units * (rank + 1) / ranks;
    return {first * granule, (last - first) * granule};
}

Partition Partitioner::run() {
    for (block_ = 0; block_ < static_cast<int>(g_.blocks().size()); ++block_) {
        const Block& block = g_.blocks()[block_];
        if (block_ > 0) --block_, begin_carries(block), ++block_;  // what a loop starts from is made whole before it
        editor_.block(block_).first = editor_.block(block_).last = editor_.ops();
        bind_carries(block);
        for (int i = block.first; i < block.last; ++i) place(g_.ops()[i]);
        end_carries(block);
        editor_.block(block_).last = editor_.ops();
    }
    pieces_.resize(editor_.local.tensors().size(), {none, replicated, 0});
    return {std::move(editor_.local), std::move(pieces_)};
}

bool Partitioner::given(const Tensor& t) {
    return t.role == Role::input || t.role == Role::weight || t.role == Role::state;
}

Range Partitioner::range(TensorId whole, int dim, std::int64_t granule) const {
    const std::int64_t extent = g_.tensor(whole).shape.at(dim);
    if (extent / granule < ranks_)
        throw Error({fmt::format("tensor = {}", ranks_),
                     fmt::format("\"{}\" has {} parts to cut and cannot be shared by {} ranks", g_.tensor(whole).name,
                                 extent / granule, ranks_),
                     "every rank must hold a part", fmt::format("Use at most {} ranks.", extent / granule)});
    return shard(extent, rank_, ranks_, granule);
}

TensorId Partitioner::decide(TensorId whole, Layout l, std::int64_t granule) {
    if (!undecided(whole)) return local_[index(whole)];
    Tensor t = g_.tensor(whole);
    std::int64_t first = 0;
    if (l.kind == Layout::Kind::sharded) {
        const Range r = range(whole, l.dim, granule);
        t.shape[l.dim] = r.count;
        first = r.first;
    }
    const TensorId id = editor_.tensor(t);
    bind(whole, id, l, first);
    return id;
}

void Partitioner::bind(TensorId whole, TensorId local, Layout l, std::int64_t first) {
    layout_[index(whole)] = l;
    local_[index(whole)] = local;
    if (pieces_.size() <= index(local)) pieces_.resize(index(local) + 1, {none, replicated, 0});
    pieces_[index(local)] = {whole, l, first};
}

TensorId Partitioner::whole(TensorId id) {
    const TensorId here = as_is(id);
    const Layout l = layout(id);
    if (l == replicated || l == own) return here;
    if (l != partial)
        throw Error({fmt::format("tensor = {}", ranks_),
                     fmt::format("\"{}\" is needed whole but is cut", g_.tensor(id).name),
                     "this graph cannot be shared by tensor parallelism yet", "Use one rank."});
    Attributes a;
    a.collective = CollectiveKind::allreduce;
    a.ranks = ranks_;
    const TensorId sum = editor_.op(OpKind::collective, "allreduce_" + g_.tensor(id).name, {here}, a, block_).front();
    bind(id, sum, replicated);
    summand_[index(id)] = here;
    return sum;
}

void Partitioner::begin_carries(const Block& block) {
    for (const Carry& c : block.carries) whole(c.init);
    editor_.block(block_).last = editor_.ops();
}

void Partitioner::bind_carries(const Block& block) {
    for (const Carry& c : block.carries) {
        as_is(c.init);
        bind(c.in, editor_.tensor(g_.tensor(c.in)), replicated);
    }
}

void Partitioner::end_carries(const Block& block) {
    std::vector<Carry>& carries = editor_.block(block_).carries;
    for (std::size_t i = 0; i < block.carries.size(); ++i) {
        const Carry& c = block.carries[i];
        const TensorId out = whole(c.out);
        bind(c.result, editor_.tensor(g_.tensor(c.result)), replicated);
        carries[i] = {local_[index(c.init)], local_[index(c.in)], out, local_[index(c.result)]};
    }
}

Partition partition(const Graph& g, const Mapping& mapping, int rank) {
    WB_EXPECT(mapping.units() == mapping.tensor && rank >= 0 && rank < mapping.tensor);
    return Partitioner(g, mapping.tensor, rank).run();
}

Bytes communication_bytes(const Graph& local) {
    Bytes sum{0};
    for (const Block& b : local.blocks())
        for (int i = b.first; i < b.last; ++i)
            if (const Op& op = local.ops()[i]; op.kind == OpKind::collective)
                sum += local.bytes(op.in[0]) * static_cast<double>(b.repeat);
    return sum;
}

}  // namespace wb
