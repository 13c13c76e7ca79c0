#include "kernels/cpu/fed.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.hpp"

namespace wb::cpu {
namespace {

bool has(const Graph& g, OpKind kind) {
    return std::any_of(g.ops().begin(), g.ops().end(), [&](const Op& op) { return op.kind == kind; });
}

}  // namespace

void feed(CpuSession& session, const Batches::Batch& batch) {
    session.put("tokens", batch.tokens);
    session.put("targets", batch.targets);
}

double mean_loss(const CpuSession& session, const Mapping& mapping, Comm& comm) {
    const std::span<const float> mine = session.losses();
    double sum[2] = {std::accumulate(mine.begin(), mine.end(), 0.0), static_cast<double>(mine.size())};
    if (comm.size() > 1 && mapping.data > 1) comm.allreduce(sum, sum, 2, DType::f64);
    return sum[0] / sum[1];
}

void stop_at_nan(CpuSession& session, Comm& comm, const std::string& where) {
    std::string found = session.first_nonfinite();
    const std::vector<std::string> all = comm.gather(found);
    for (auto rank = all.rbegin(); rank != all.rend(); ++rank)
        if (!rank->empty()) found = *rank;
    found = comm.share(found);
    throw Error({where, fmt::format("the loss is not a number, and first of all is \"{}\"", found),
                 "every later step would compute nothing", "Lower the learning rate, or use a wider dtype."},
                Exit::failed);
}

bool FedSession::feeds(const Case& c) {
    return c.storage && c.storage->dataset() && c.graph->phases().empty() && has(*c.graph, OpKind::cross_entropy);
}

FedSession::FedSession(const Case& c, Comm& comm, int threads)
    : case_(c),
      comm_(comm),
      trains_(has(*c.graph, OpKind::adamw)),
      session_(c, comm, threads),
      batches_(Batches::read(*c.storage, trains_ ? Split::training : Split::held_out, comm,
                             c.protocol.warmup + c.protocol.max_samples + 1, *c.graph)) {}

Sample FedSession::run() {
    feed(session_, batches_.at(static_cast<std::int64_t>(losses_.size())));
    const auto note = [this] {
        losses_.push_back(mean_loss(session_, case_.mapping, comm_));
        if (!std::isfinite(losses_.back())) stop_at_nan(session_, comm_, fmt::format("batch {}", losses_.size()));
    };
    if (trains_) return session_.run(note);  // before a weight is changed
    const Sample sample = session_.run();
    note();
    return sample;
}

ResourceUse FedSession::usage() const {
    ResourceUse use = session_.usage();
    const Dataset& d = *case_.storage->dataset();
    use.detail +=
        fmt::format("; {}: {} tokens to train on, {} held out, read by {}", d.name, d.training, d.held_out, d.how);
    Series s{trains_ ? "loss" : "held-out loss", "nats", "mean over the batch", "batch", {}, losses_};
    for (std::size_t i = 0; i < losses_.size(); ++i) s.at.push_back(static_cast<double>(i + 1));
    if (!losses_.empty()) use.series.push_back(std::move(s));
    return use;
}

}  // namespace wb::cpu
