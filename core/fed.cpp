#include "core/fed.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace wb {
namespace {

bool has(const Graph& g, OpKind kind) {
    return std::any_of(g.ops().begin(), g.ops().end(), [&](const Op& op) { return op.kind == kind; });
}

}  // namespace

bool FedSession::feeds(const Case& c) {
    return c.storage && c.storage->dataset() && c.graph->phases().empty() && has(*c.graph, OpKind::cross_entropy);
}

FedSession::FedSession(const Case& c, Comm& comm, std::unique_ptr<Player> player)
    : case_(c),
      comm_(comm),
      trains_(has(*c.graph, OpKind::adamw)),
      player_(std::move(player)),
      batches_(Batches::read(*c.storage, trains_ ? Split::training : Split::held_out, comm,
                             c.protocol.warmup + c.protocol.max_samples + 1, *c.graph)) {}

Sample FedSession::run() {
    batches_.feed(*player_, static_cast<std::int64_t>(losses_.size()));
    const auto note = [this] {
        losses_.push_back(mean_loss(*player_, case_.mapping, comm_));
        if (!std::isfinite(losses_.back())) stop_at_nan(*player_, comm_, fmt::format("batch {}", losses_.size()));
    };
    if (trains_) return player_->run(note);  // before a weight is changed
    const Sample sample = player_->run();
    note();
    return sample;
}

ResourceUse FedSession::usage() const {
    ResourceUse use = player_->usage();
    const Dataset& d = *case_.storage->dataset();
    use.detail +=
        fmt::format("; {}: {} tokens to train on, {} held out, read by {}", d.name, d.training, d.held_out, d.how);
    Series s{trains_ ? "loss" : "held-out loss", "nats", "mean over the batch", "batch", {}, losses_};
    for (std::size_t i = 0; i < losses_.size(); ++i) s.at.push_back(static_cast<double>(i + 1));
    if (!losses_.empty()) use.series.push_back(std::move(s));
    return use;
}

}  // namespace wb
