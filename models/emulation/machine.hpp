#pragma once

#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "models/collective_time.hpp"
#include "models/emulation/program.hpp"
#include "models/steps.hpp"

namespace wb::emulation {

/// Compiles steps for the network of a system. What a message costs comes from the facts of its fabrics and from the
/// constants that the closed form of collectives was fitted to (models/collective_time.hpp), so that the two agree
/// where nothing contends; or, where [fitted] states message_latency, message_overhead_time, message_gap_time and
/// message_byte_time, from these alone: LogGP as published for a machine.
class Machine {
public:
    /// Throws Error naming the first constant that is missing.
    Machine(const System& system, const Mapping& mapping);

    /// `forced` plays every collective that it can.
    Program compile(const StageSteps& steps, const EmulationChoice& choice, const std::string& forced);

    /// Whether the system states the four constants of a message.
    static bool states_messages(const System& system);
    /// What stands in the way; empty if nothing.
    static std::string missing(const System& system);
    /// Whether the switch of a domain adds up, and what that costs is known.
    static bool reduces_in_switch(const System& system);

private:
    /// One message: a hop from unit to unit and its bytes.
    struct Protocol {
        double start = 0, hop = 0, byte_time = 0;  ///< s; `start` is paid once by a collective
    };
    Wire wire(const Protocol& p, std::size_t level, double exposed) const;
    Wire far_wire(const cluster::Link& link, double exposed) const;
    /// One protocol of the innermost level, and what a message through each level then costs.
    struct Way {
        cluster::Protocol protocol;
        std::vector<cluster::NetworkLevel> levels;
        std::vector<cluster::Link> links;
        double filling = 0, seconds = HUGE_VAL;
    };
    std::vector<Way> ways(Axis axis, int n, CollectiveKind operation) const;
    Way fastest(const Step& step, const std::string& algorithm, int n) const;
    Time before(const Way& way, double exposed) const;
    std::optional<Protocol> in_switch(CollectiveKind kind, double bytes, int n) const;
    Protocol near_message() const;
    Protocol far_message() const;
    Protocol stage_message() const;
    void expect_way_out() const;
    double filling(const char* key, double bytes, double rate, double fallback) const;
    double launch() const;
    int neighbours(Axis axis) const;
    std::vector<Play> collective(const Step& step, const std::string& forced) const;
    void state(Play& play, bool all_near) const;
    std::vector<Play> within(const Step& step, const std::vector<Algorithm>& algorithms, int n,
                             const std::string& wanted) const;
    std::vector<Play> across(const Step& step, int n, int local) const;
    std::vector<Play> hierarchical(const Step& step, int n, int local) const;
    std::vector<Play> dragonfly(const Step& step, int n, int local) const;
    Play around(const Step& step, int n) const;
    std::vector<Play> mixed(const Step& step, Algorithm algorithm, int n) const;
    Play message(const Step& step) const;

    const System* system_;
    Mapping mapping_;
    int domain_ = 1;
};

}  // namespace wb::emulation
