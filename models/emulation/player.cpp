#include "models/emulation/player.hpp"

#include <algorithm>
#include <cstring>

#include "core/error.hpp"

namespace wb::emulation {
namespace {

constexpr int collective_tag = -1;

Time slowed(const Unit& u, Time t) {
    return u.slow == 1 ? t : static_cast<Time>(static_cast<double>(t) * u.slow + 0.5);
}
/// From the first byte to the last.
Time length_of(std::int64_t bytes, double byte_time) {
    return bytes > 1 ? static_cast<Time>(static_cast<double>(bytes - 1) * byte_time + 0.5) : 0;
}
/// That a shared way is taken by a message.
Time taken(std::int64_t bytes, double byte_time) {
    return static_cast<Time>(static_cast<double>(bytes) * byte_time + 0.5);
}

}  // namespace

Player::Player(Program p, std::vector<int> starts, int rank, std::vector<int> watched)
    : program(std::move(p)),
      first(starts[static_cast<std::size_t>(rank)]),
      last(starts[static_cast<std::size_t>(rank) + 1]),
      cargo(program, first, last),
      starts_(std::move(starts)),
      watched_(std::move(watched)) {}

void Player::begin() {
    units.assign(static_cast<std::size_t>(last - first), {});
    inboxes_.clear();
    payloads_.clear();
    ready_.clear();
    events_ = {};
    marks.clear();
    cargo.reset();
    messages = bytes = 0;
    if (shares()) {
        way_out_.assign(units.size() / static_cast<std::size_t>(program.uplink_units) + 1, 0);
        way_in_ = way_out_;
    }
    outgoing_.assign(starts_.size() - 1, {});
    sent();
    for (const int w : watched_)
        if (w >= first && w < last) unit(w).watched = true;
    for (const Fault& f : program.faults) {
        if (f.unit < first || f.unit >= last) continue;
        Unit& u = unit(f.unit);
        if (f.kind == Fault::Kind::straggler) u.slow *= f.factor;
        if (f.kind == Fault::Kind::slow_link) u.link *= f.factor;
        if (f.kind == Fault::Kind::failed) u.fails_at = std::min(u.fails_at, picoseconds(f.at.si()));
    }
    for (int id = last - 1; id >= first; --id) ready_.push_back(id);
}

const Wire& Player::wire_of(const Play& p, int from, int to) const {
    return p.near && from / program.domain == to / program.domain ? *p.near : p.wire;
}

/// Whether a message goes through ways that units share: those of a domain or of several have one.
bool Player::leaves(const Wire& wire, int from, int to) const {
    return wire.shared && shares() && from / program.uplink_units != to / program.uplink_units;
}

/// True: the unit must wait for its turn on the shared way out, and sleeps until then.
bool Player::must_ask(Unit& u, int id, int dest, const Wire& wire) {
    if (!leaves(wire, id, dest) || u.granted) return false;
    events_.push({std::max(u.clock, u.out_free[wire.shared]) + slowed(u, wire.overhead), id, u.sent, -1});
    return true;
}

void Player::send(Unit& u, int id, int dest, int tag, std::int64_t size, const Wire& wire, const std::byte* data) {
    const Time start = std::max(u.clock, u.out_free[wire.shared]), busy = start + slowed(u, wire.overhead);
    const bool shared = leaves(wire, id, dest);
    u.granted = false;
    Message m{id, dest, tag, u.sent++, 0, length_of(size, wire.byte_time * u.link), size, -1, shared ? 1 : 0};
    Time leaves = busy;
    if (shared) {
        Time& free = way(way_out_, id);
        leaves = std::max(busy, free);
        free = leaves + taken(size, program.uplink_byte_time);
    }
    m.head = leaves + wire.latency;
    u.clock += slowed(u, wire.overhead) + wire.hold;  // a message waits for its port without the unit
    u.out_free[wire.shared] = start + wire.gap + m.length;
    if (shared) m.length = std::max(m.length, length_of(size, program.uplink_byte_time));
    ++messages;
    bytes += size;
    if (dest >= first && dest < last)
        arrive(m, data);
    else
        send_away(m, data);
}

void Player::send_away(const Message& m, const std::byte* data) {
    const auto owner = std::upper_bound(starts_.begin(), starts_.end(), m.dest) - starts_.begin() - 1;
    std::string& to = outgoing_[static_cast<std::size_t>(owner)];
    to.append(reinterpret_cast<const char*>(&m), sizeof m);
    if (carries()) {
        if (data)
            to.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(m.bytes));
        else
            to.append(static_cast<std::size_t>(m.bytes), '\0');
    }
    ++sent_away_;
    earliest_sent_ = std::min(earliest_sent_, m.head);
}

void Player::arrive(const Message& m, const std::byte* data) {
    const std::int32_t i = inboxes_.put(m);
    if (carries()) {
        if (payloads_.size() < inboxes_.size()) payloads_.resize(inboxes_.size());
        auto& payload = payloads_[static_cast<std::size_t>(i)];
        if (data)
            payload.assign(data, data + m.bytes);
        else
            payload.assign(static_cast<std::size_t>(m.bytes), std::byte{0});
    }
    if (m.shared)
        events_.push({m.head, m.source, m.order, i});
    else
        give(i);
}

void Player::give(std::int32_t i) {
    const Message& m = inboxes_[i];
    Unit& u = unit(m.dest);
    const bool wanted = u.waits && u.source == m.source && u.tag == m.tag;
    inboxes_.append(u, i);
    if (!wanted) return;
    u.waits = false;
    ready_.push_back(inboxes_[i].dest);
}

/// The message, once it is there: give it back with `release`. -1: it is not, and the unit sleeps until it is.
std::int32_t Player::receive(Unit& u, int source, int tag, const Wire& wire) {
    const std::int32_t i = inboxes_.take(u, source, tag);
    if (i < 0) {
        u.source = source;
        u.tag = tag;
        u.waits = true;
        return i;
    }
    const Message& m = inboxes_[i];
    const Time start = std::max(m.head, u.in_free[wire.shared]);
    const Time length = u.link == 1 ? m.length : std::max(m.length, length_of(m.bytes, wire.byte_time * u.link));
    u.in_free[wire.shared] = start + wire.gap + length;
    u.clock = std::max(u.clock, start + length) + slowed(u, wire.overhead);
    return i;
}

void Player::enter(Unit& u, const Play& p, int id) {
    u.group = group_of(program.mapping, p, id);
    u.clock += p.time;
    const Region shard = shard_of(program, p, id);
    u.offset = shard.at;
    u.bytes = shard.bytes;
    u.round = 0;
    u.inside = true;
    u.has_sent = false;
    if (p.begins) cargo.begin(p, id);
}

/// Where the blocks of a message lie: a run of bytes, and what of it wraps around to the front.
Part Player::part_of(const Unit& u, const Collective& c, const Blocks& b, bool comes) const {
    const auto start = [&](int i) { return block_start(u.bytes, program.element_bytes, c.blocks, i); };
    if (comes && c.algorithm == Algorithm::pairwise) {  // as long as the own block, whoever sends it
        const std::int64_t own = start(u.group.place + 1) - start(u.group.place);
        return {u.offset + b.first * own, own, 0, 0};
    }
    const int end = b.first + b.count;
    const std::int64_t at = start(b.first);
    if (end <= c.blocks) return {u.offset + at, start(end) - at, u.offset, 0};
    return {u.offset + at, start(c.blocks) - at, u.offset, start(end - c.blocks)};
}

/// False: waits.
bool Player::play_round(Unit& u, const Play& p, int id) {
    const Round r = round_of(p.collective, u.group.place, u.round);
    if (r.to >= 0 && !u.has_sent) {
        const Part part = part_of(u, p.collective, r.send, false);
        const int to = u.group.unit(r.to);
        const Wire& wire = wire_of(p, id, to);
        if (must_ask(u, id, to, wire)) return false;
        send(u, id, to, collective_tag, part.size(), wire, cargo.gathered(p, id, part));
        u.has_sent = true;
    }
    if (r.from >= 0) {
        const int from = u.group.unit(r.from);
        const std::int32_t i = receive(u, from, collective_tag, wire_of(p, from, id));
        if (i < 0) return false;
        if (cargo.real()) {
            const Part part = part_of(u, p.collective, r.receive, true);
            WB_EXPECT(inboxes_[i].bytes == part.size());
            cargo.put(id, part, payloads_[static_cast<std::size_t>(i)].data(), r.add);
        }
        inboxes_.release(i);
    }
    u.has_sent = false;
    ++u.round;
    return true;
}

bool Player::collective(Unit& u, const Play& p, int id) {
    if (!u.inside) enter(u, p, id);
    while (u.round < p.collective.rounds) {
        if (u.clock >= u.fails_at) return false;
        if (!play_round(u, p, id)) return false;
    }
    u.inside = false;
    if (p.ends) cargo.end(first_of(p), p, id);
    return true;
}

/// The first of the plays that make up a step, of which `p` is one.
const Play& Player::first_of(const Play& p) {
    const Play* q = &p;
    while (!q->begins) --q;  // they lie one behind the other
    return *q;
}

bool Player::play(Unit& u, const Play& p, int id) {
    switch (p.kind) {
        case Step::Kind::compute: u.clock += slowed(u, p.time); return true;
        case Step::Kind::send: {
            const int to = peer(id, p.peer);
            const Wire& wire = wire_of(p, id, to);
            if (must_ask(u, id, to, wire)) return false;
            send(u, id, to, p.tag, p.bytes, wire, cargo.message(p, id));
            return true;
        }
        case Step::Kind::receive: {
            const int from = peer(id, p.peer);
            const std::int32_t i = receive(u, from, p.tag, wire_of(p, from, id));
            if (i < 0) return false;
            if (cargo.real()) cargo.check_message(p, from, id, payloads_[static_cast<std::size_t>(i)].data());
            inboxes_.release(i);
            return true;
        }
        case Step::Kind::collective: return collective(u, p, id);
    }
    return false;
}

int Player::peer(int id, int stage) const {
    const int each = program.units / static_cast<int>(program.stages.size());
    return id % each + stage * each;
}

/// Until it waits, fails, or is done.
void Player::advance(int id) {
    Unit& u = unit(id);
    const std::vector<Play>& list = program.stages[static_cast<std::size_t>(program.stage_of(id))];
    while (static_cast<std::size_t>(u.step) < list.size()) {
        const Play& p = list[static_cast<std::size_t>(u.step)];
        const bool played = u.clock < u.fails_at && play(u, p, id);
        if (u.clock >= u.fails_at) {
            u.clock = u.fails_at;
            u.dead = true;
        }
        if (u.watched && u.clock > u.begun && (played || u.dead)) marks.push_back({id, p.step, u.begun, u.clock});
        if (!played || u.dead) return;
        u.begun = u.clock;
        ++u.step;
    }
    u.done = true;
}

void Player::work(Time horizon) {
    for (;;) {
        while (!ready_.empty()) {
            const std::int32_t id = ready_.back();
            ready_.pop_back();
            advance(id);
        }
        if (events_.empty() || events_.top().at >= horizon) return;
        const Event e = events_.top();
        events_.pop();
        happen(e);
    }
}

/// A unit gets its turn on the way out, or a message comes in by the other.
void Player::happen(const Event& e) {
    if (e.message < 0) {
        unit(e.unit).granted = true;
        ready_.push_back(e.unit);
        return;
    }
    Message& m = inboxes_[e.message];
    Time& free = way(way_in_, m.dest);
    m.head = std::max(m.head, free);
    free = m.head + taken(m.bytes, program.uplink_byte_time);
    give(e.message);
}

const std::vector<std::string>& Player::outgoing() {
    const Notice mine{std::min(earliest_sent_, events_.empty() ? never : events_.top().at), sent_away_};
    for (std::string& text : outgoing_) std::memcpy(text.data(), &mine, sizeof mine);
    return outgoing_;
}

void Player::sent() {
    for (std::string& text : outgoing_) text.assign(sizeof(Notice), '\0');
    earliest_sent_ = never;
    sent_away_ = 0;
}

void Player::take_in(const std::string& from) {
    std::size_t at = sizeof(Notice);
    while (at < from.size()) {
        Message m;
        std::memcpy(&m, from.data() + at, sizeof m);
        at += sizeof m;
        const auto* data = reinterpret_cast<const std::byte*>(from.data() + at);
        arrive(m, carries() ? data : nullptr);
        if (carries()) at += static_cast<std::size_t>(m.bytes);
    }
}

std::size_t Player::bookkeeping_bytes() const {
    return units.capacity() * sizeof(Unit) + inboxes_.bytes() + ready_.capacity() * sizeof(std::int32_t) +
           events_.size() * sizeof(Event);
}

}  // namespace wb::emulation
