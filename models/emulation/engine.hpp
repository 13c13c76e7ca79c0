#pragma once

#include <memory>
#include <vector>

#include "core/comm.hpp"
#include "models/emulation/player.hpp"

namespace wb::emulation {

/// A unit that has failed, or waits for ever.
struct Stuck {
    int unit = 0, step = 0;
    int source = -1;  ///< whom it waits for; -1: it has failed
    Time since = 0;
};

struct Finish {
    Time time = 0;              ///< when the last unit is done, or can do no more
    std::int64_t messages = 0;  ///< sent by the units of this rank
    std::int64_t bytes = 0;     ///< that these stand for
    std::int64_t turns = 0;     ///< exchanges between ranks; depends on their number
    std::vector<Mark> marks;    ///< of the watched units, on rank 0, unit by unit
    std::string problem;        ///< units failed: which, and who waits for whom; empty if all are done
    std::vector<Stuck> stuck;   ///< the failed ones and the first that wait, on rank 0, by time
    std::int64_t checked = 0;   ///< stamped collectives and messages of all ranks that held what they should
};

/// Plays a program. Each rank holds a run of neighbouring units with a clock and an inbox each; a unit goes on until it
/// waits for a message that is not there. Its clock moves by its own steps and by the times that messages carry,
/// matched by (source, tag, order of sending): so virtual times do not depend on which unit is played first, nor where.
/// Ways shared by several units are taken in order of virtual time, which each rank knows for a latency ahead of all
/// ranks (conservative windows: Chandy and Misra 1979, Nicol 1993). Ports are taken by messages in the order of the
/// program that sends, or receives.
class Engine {
public:
    /// Collective. `watched` units leave marks.
    Engine(Program program, Comm& comm, std::vector<int> watched = {});
    ~Engine();

    /// Collective; may be called again and begins anew. A failed unit ends it early, which is told. Throws Error if
    /// sound units wait for what nobody sends: who, for whom, since when; or if stamped data do not add up.
    Finish run();

    int first_unit() const;  ///< of this rank
    int last_unit() const;   ///< one beyond
    /// Payload full: what a unit of this rank works on, before and after.
    std::vector<std::byte>& input(int unit);
    std::vector<std::byte>& buffer(int unit);
    /// How elements are added.
    using Add = Cargo::Add;
    void add_with(Add add);
    /// Bytes of state for each unit, without payload: measured, largest of the last run.
    double bytes_per_unit() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace wb::emulation
