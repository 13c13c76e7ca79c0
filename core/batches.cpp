#include "core/batches.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"

namespace wb {
namespace {

void check_ids(const Dataset& data, Split split, const std::vector<std::int32_t>& ids, std::int64_t vocabulary) {
    const auto bad = std::find_if(ids.begin(), ids.end(), [&](std::int32_t id) { return id < 0 || id >= vocabulary; });
    if (bad != ids.end())
        throw Error(
            {data.name,
             fmt::format("token {} of the {} split is {}, the vocabulary of the model ends at {}", bad - ids.begin(),
                         split == Split::training ? "training" : "held-out", *bad, vocabulary - 1),
             "the model has no embedding for it", "Use the tokeniser of the model."});
}

/// Rows of the table that token ids look up.
std::int64_t vocabulary_of(const Graph& g) {
    for (const Op& op : g.ops())
        if (op.kind == OpKind::embed && g.tensor(op.in[0]).name == "tokens") return g.tensor(op.in[1]).shape[0];
    return 0;
}

struct Sequences {
    std::int64_t batch = 1, seq = 1;
};
Sequences sequences_of(const Graph& g) {
    for (const Op& op : g.ops())
        if (op.kind == OpKind::attention) return {op.attributes.batch, op.attributes.seq};
    return {};
}

}  // namespace

Batches Batches::read(Storage& from, Split split, Comm& comm, std::int64_t batches, const Graph& graph) {
    const auto [batch, seq] = sequences_of(graph);
    const Dataset& data = *from.dataset();
    const std::int64_t all = split == Split::training ? data.training : data.held_out;
    const std::int64_t sequences = (all - 1) / seq;
    if (all <= seq)
        throw Error({data.name,
                     fmt::format("its {} split holds {} tokens, a sequence and its last target are {}",
                                 split == Split::training ? "training" : "held-out", all, seq + 1),
                     "there is no batch to read", "Use a longer text, a shorter seq or another share to hold out."});
    Batches out;
    out.batch_ = batch;
    out.seq_ = seq;
    const std::int64_t needed = std::min(sequences, batches * batch) * seq + 1;
    const std::int64_t each = (needed + comm.size() - 1) / comm.size(), first = each * comm.rank();
    std::vector<std::int32_t> mine(static_cast<std::size_t>(each));
    const std::int64_t count = std::clamp<std::int64_t>(needed - first, 0, each);
    from.read_tokens(split, std::min(first, needed), std::span(mine).first(static_cast<std::size_t>(count)));
    out.ids_.resize(static_cast<std::size_t>(each * comm.size()));
    comm.allgather(mine.data(), out.ids_.data(), each, DType::int32);
    out.ids_.resize(static_cast<std::size_t>(needed));
    check_ids(data, split, out.ids_, vocabulary_of(graph));
    return out;
}

Batches::Batch Batches::at(std::int64_t number) const {
    const std::int64_t sequences = (static_cast<std::int64_t>(ids_.size()) - 1) / seq_;
    Batch out;
    for (std::int64_t j = 0; j < batch_; ++j) {
        const auto from = ids_.begin() + (number * batch_ + j) % sequences * seq_;
        out.tokens.insert(out.tokens.end(), from, from + seq_);
        out.targets.insert(out.targets.end(), from + 1, from + 1 + seq_);
    }
    return out;
}

void Batches::feed(Player& player, std::int64_t number) const {
    const Batch batch = at(number);
    player.put("tokens", batch.tokens);
    player.put("targets", batch.targets);
}

}  // namespace wb
