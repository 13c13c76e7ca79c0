#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "core/backend.hpp"
#include "core/player.hpp"

namespace wb {

/// What a phase of a composed run took on this rank.
struct PhaseTaken {
    Seconds time;
    std::optional<Joules> energy;
    std::optional<Bytes> missed;  ///< fetched by misses of the last-level cache
    std::vector<CommUse> communication;

    /// Its box on the timeline, behind what there is.
    void append_to(Sample& sample, const Phase& phase) const;
    /// Its part of the whole, and its entry among the phases. `held`: bytes of memory in it.
    PhaseUse& report_to(ResourceUse& use, const Phase& phase, Bytes held) const;
};

/// Clock and counters, from construction on.
class PhaseMeter {
public:
    explicit PhaseMeter(const Players& players);
    void add_to(PhaseTaken& taken) const;

private:
    const Players& players_;
    const std::optional<Bytes> missed_;
    const std::optional<Joules> energy_;
    const std::chrono::steady_clock::time_point start_;
};

}  // namespace wb
