#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/backend.hpp"
#include "kernels/cpu/batches.hpp"
#include "kernels/cpu/session.hpp"

namespace wb::cpu {

/// The batch is what the next run reads.
void feed(CpuSession& session, const Batches::Batch& batch);
/// Of the last run, over the batch of all ranks. Collective.
double mean_loss(const CpuSession& session, const Mapping& mapping, Comm& comm);
/// Names the first tensor that has a value that is no number. Collective.
[[noreturn]] void stop_at_nan(CpuSession& session, Comm& comm, const std::string& where);

/// One training step, or one loss on held-out tokens, a run; every run reads the next batch of the case's dataset.
class FedSession final : public Session {
public:
    /// Collective over `comm`, which must outlive this. `threads` >= 1. The case's storage has a dataset.
    FedSession(const Case& c, Comm& comm, int threads);
    /// A graph with a loss, and data for it.
    static bool feeds(const Case& c);

    Sample run() override;
    std::optional<Outputs> outputs() override { return session_.outputs(); }
    std::optional<Outputs> declared_outputs() override { return session_.declared_outputs(); }
    void poison() override { session_.poison(); }
    ResourceUse usage() const override;

private:
    const Case case_;
    Comm& comm_;
    const bool trains_;
    CpuSession session_;
    Batches batches_;
    std::vector<double> losses_;
};

}  // namespace wb::cpu
