#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/backend.hpp"
#include "core/batches.hpp"
#include "core/player.hpp"

namespace wb {

/// One training step, or one loss on held-out tokens, a run; every run reads the next batch of the case's dataset.
class FedSession final : public Session {
public:
    /// Collective over `comm`, which must outlive this. `player` plays the case's graph; its storage has a dataset.
    FedSession(const Case& c, Comm& comm, std::unique_ptr<Player> player);
    /// A graph with a loss, and data for it.
    static bool feeds(const Case& c);

    Sample run() override;
    std::optional<Outputs> outputs() override { return player_->outputs(); }
    std::optional<Outputs> declared_outputs() override { return player_->declared_outputs(); }
    void poison() override { player_->poison(); }
    ResourceUse usage() const override;

private:
    const Case case_;
    Comm& comm_;
    const bool trains_;
    const std::unique_ptr<Player> player_;
    Batches batches_;
    std::vector<double> losses_;
};

}  // namespace wb
