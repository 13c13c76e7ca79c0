#pragma once

#include <queue>
#include <string>
#include <vector>

#include "models/emulation/cargo.hpp"
#include "models/emulation/program.hpp"
#include "models/emulation/unit.hpp"

namespace wb::emulation {

/// One step of a unit on the timeline.
struct Mark {
    int unit = 0, step = 0;  ///< of its stage's list
    Time start = 0, end = 0;
};

/// Something at a way that units share: a message that wants out, or one that comes in.
struct Event {
    Time at = 0;
    std::int32_t unit = 0;      ///< whose message it is
    std::int32_t order = 0;     ///< among those of the unit
    std::int32_t message = -1;  ///< in the pool; -1: the unit wants to send
    bool operator>(const Event& other) const {
        if (at != other.at) return at > other.at;
        if (unit != other.unit) return unit > other.unit;
        if (message < 0 || other.message < 0) return message >= 0 && other.message < 0;
        return order > other.order;
    }
};

/// What ranks tell each other in front of their messages.
struct Notice {
    Time earliest = never;      ///< nothing happens on shared ways before
    std::int64_t messages = 0;  ///< sent to any rank
};

/// The units of one rank: plays them until all wait for other ranks, whose messages it collects.
class Player {
public:
    /// `starts`: first unit of each rank, and the end.
    Player(Program program, std::vector<int> starts, int rank, std::vector<int> watched);

    void begin();
    /// Until every unit waits; shared ways are given only before the horizon.
    void work(Time horizon);
    /// Messages for each rank, behind a notice. Empty them by `sent`.
    const std::vector<std::string>& outgoing();
    void sent();
    void take_in(const std::string& from);

    Program program;
    int first = 0, last = 0;
    Cargo cargo;
    std::vector<Unit> units;
    std::vector<Mark> marks;
    std::int64_t messages = 0, bytes = 0;  ///< sent

    Unit& unit(int id) { return units[static_cast<std::size_t>(id - first)]; }
    bool shares() const { return program.uplink_byte_time > 0; }
    std::size_t bookkeeping_bytes() const;

private:
    bool carries() const { return program.payload != Payload::none; }
    Time& way(std::vector<Time>& ways, int id) {
        return ways[static_cast<std::size_t>((id - first) / program.uplink_units)];
    }
    const Wire& wire_of(const Play& p, int from, int to) const;
    bool leaves(const Wire& wire, int from, int to) const;
    bool must_ask(Unit& u, int id, int dest, const Wire& wire);
    void send(Unit& u, int id, int dest, int tag, std::int64_t size, const Wire& wire, const std::byte* data);
    void send_away(const Message& m, const std::byte* data);
    void arrive(const Message& m, const std::byte* data);
    void give(std::int32_t i);
    std::int32_t receive(Unit& u, int source, int tag, const Wire& wire);
    void enter(Unit& u, const Play& p, int id);
    Part part_of(const Unit& u, const Collective& c, const Blocks& b, bool comes) const;
    static const Play& first_of(const Play& p);
    bool play_round(Unit& u, const Play& p, int id);
    bool collective(Unit& u, const Play& p, int id);
    bool play(Unit& u, const Play& p, int id);
    int peer(int id, int stage) const;
    void advance(int id);
    void happen(const Event& e);

    std::vector<int> starts_, watched_;
    Inboxes inboxes_;
    std::vector<std::vector<std::byte>> payloads_;  ///< beside the pool of messages
    std::vector<std::int32_t> ready_;
    std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
    std::vector<Time> way_out_, way_in_;  ///< free from then on
    std::vector<std::string> outgoing_;
    Time earliest_sent_ = never;
    std::int64_t sent_away_ = 0;
};

}  // namespace wb::emulation
