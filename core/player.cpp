#include "core/player.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/error.hpp"
#include "core/memory_plan.hpp"
#include "core/part.hpp"

namespace wb {

double memory_needed(const std::vector<const Graph*>& graphs, const Mapping& mapping, int rank,
                     std::int64_t alignment) {
    double arenas = 0, kept = 0;
    for (const Graph* g : graphs) {
        const MemoryPlan plan = plan_memory(part_of(*g, mapping, rank).local, alignment);
        arenas += (plan.inputs + plan.activations).si();
        kept = std::max(kept, (plan.weights + plan.state).si());
    }
    return arenas + kept;
}

std::optional<TensorId> losses_of(const Graph& local) {
    for (const Op& op : local.ops())
        for (const TensorId id : op.out)
            if ((op.kind == OpKind::cross_entropy || op.kind == OpKind::cross_entropy_join) &&
                local.tensor(id).role == Role::output)
                return id;
    return {};
}

LogitsPart::LogitsPart(const Partition& part) {
    const std::span<const Tensor> all = part.local.tensors();
    const auto found = std::find_if(all.begin(), all.end(), [](const Tensor& t) { return t.role == Role::output; });
    WB_EXPECT(found != all.end() && found->shape.size() == 2);
    id = tensor_id(static_cast<std::size_t>(found - all.begin()));
    const Partition::Piece& piece = part.pieces[index(id)];
    WB_EXPECT(piece.layout.kind != Layout::Kind::partial);
    const bool by_rows = piece.layout.dim == 0;
    rows = found->shape[0];
    columns = found->shape[1];
    first_row = by_rows ? piece.first : piece.first_row;
    first_column = by_rows ? 0 : piece.first;
}

double mean_loss(const Player& player, const Mapping& mapping, Comm& comm) {
    const std::vector<float> mine = player.losses();
    double sum[2] = {std::accumulate(mine.begin(), mine.end(), 0.0), static_cast<double>(mine.size())};
    if (comm.size() > 1 && mapping.data > 1) comm.allreduce(sum, sum, 2, DType::f64);
    return sum[0] / sum[1];
}

std::string first_nonfinite(const Graph& local,
                            const std::function<void(std::size_t block, std::int64_t k, int op)>& run,
                            const std::function<bool(TensorId id, std::int64_t iteration)>& finite,
                            const FusedOps& fused) {
    std::string first;
    const auto look = [&](const std::vector<TensorId>& ids, const Block& block, std::int64_t iteration) {
        for (const TensorId id : ids) {
            const Tensor& t = local.tensor(id);
            if (!first.empty() || t.dtype == DType::int32 || fused.is_absent(id) || finite(id, iteration)) continue;
            first = block.repeat > 1 ? fmt::format("{} of layer {}", t.name, iteration) : t.name;
        }
    };
    for (std::size_t b = 0; b < local.blocks().size(); ++b) {
        const Block& block = local.blocks()[b];
        if (block.phase == update_phase) break;
        for (std::int64_t k = 0; k < block.repeat; ++k)
            for (int i = block.first; i < block.last; ++i) {
                run(b, k, i);
                for (const int together : fused.computed_at(i)) {
                    const Op& op = local.ops()[static_cast<std::size_t>(together)];
                    for (const std::vector<TensorId>* ids : {&op.in, &op.out})
                        look(*ids, block, block.reversed ? block.repeat - 1 - k : k);
                }
            }
    }
    return first;
}

void stop_at_nan(Player& player, Comm& comm, const std::string& where) {
    std::string found = player.first_nonfinite();
    const std::vector<std::string> all = comm.gather(found);
    for (auto rank = all.rbegin(); rank != all.rend(); ++rank)
        if (!rank->empty()) found = *rank;
    found = comm.share(found);
    throw Error({where, fmt::format("the loss is not a number, and first of all is \"{}\"", found),
                 "every later step would compute nothing", "Lower the learning rate, or use a wider dtype."},
                Exit::failed);
}

}  // namespace wb
