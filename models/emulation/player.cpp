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

/// Bytes of a buffer that one message holds: a run, and what of it wraps around to the front.
struct Player::Part {
    std::int64_t at, bytes, front, wrapped;
};

Player::Player(Program p, std::vector<int> starts, int rank, std::vector<int> watched)
    : program(std::move(p)),
      first(starts[static_cast<std::size_t>(rank)]),
      last(starts[static_cast<std::size_t>(rank) + 1]),
      starts_(std::move(starts)),
      watched_(std::move(watched)) {
    if (program.payload != Payload::full) return;
    inputs.resize(static_cast<std::size_t>(last - first));
    buffers.resize(inputs.size());
}

void Player::begin() {
    units.assign(static_cast<std::size_t>(last - first), {});
    inboxes_.clear();
    payloads_.clear();
    ready_.clear();
    events_ = {};
    marks.clear();
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

/// True: the unit must wait for its turn on the shared way out, and sleeps until then.
bool Player::must_ask(Unit& u, int id, const Wire& wire) {
    if (!wire.shared || !shares() || u.granted) return false;
    events_.push({std::max(u.clock, u.out_free[wire.shared]) + slowed(u, wire.overhead), id, u.sent, -1});
    return true;
}

void Player::send(Unit& u, int id, int dest, int tag, std::int64_t size, const Wire& wire, const std::byte* data) {
    const Time start = std::max(u.clock, u.out_free[wire.shared]), busy = start + slowed(u, wire.overhead);
    const bool shared = wire.shared && shares();
    u.granted = false;
    Message m{id, dest, tag, u.sent++, 0, length_of(size, wire.byte_time * u.link), size, -1, shared ? 1 : 0};
    Time leaves = busy;
    if (shared) {
        Time& free = way(way_out_, id);
        leaves = std::max(busy, free);
        free = leaves + taken(size, program.uplink_byte_time);
    }
    m.head = leaves + wire.latency;
    u.clock += slowed(u, wire.overhead);  // a message waits for its port without the unit
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

/// False: the message is not there; the unit sleeps until it is. Its data go to `part`, added or as they are.
bool Player::receive(Unit& u, int source, int tag, const Wire& wire, const Part* part, bool sum) {
    const std::int32_t i = inboxes_.take(u, source, tag);
    if (i < 0) {
        u.source = source;
        u.tag = tag;
        u.waits = true;
        return false;
    }
    const Message& m = inboxes_[i];
    const Time start = std::max(m.head, u.in_free[wire.shared]);
    const Time length = u.link == 1 ? m.length : std::max(m.length, length_of(m.bytes, wire.byte_time * u.link));
    u.in_free[wire.shared] = start + wire.gap + length;
    u.clock = std::max(u.clock, start + length) + slowed(u, wire.overhead);
    if (part && program.payload == Payload::full) {
        WB_EXPECT(m.bytes == part->bytes + part->wrapped);
        std::byte* buffer = buffers[static_cast<std::size_t>(m.dest - first)].data();
        const std::byte* data = payloads_[static_cast<std::size_t>(i)].data();
        put(buffer + part->at, data, part->bytes, sum);
        put(buffer + part->front, data + part->bytes, part->wrapped, sum);
    }
    inboxes_.release(i);
    return true;
}

void Player::put(std::byte* to, const std::byte* from, std::int64_t size, bool sum) const {
    if (size == 0) return;
    if (sum)
        add(to, from, size);
    else
        std::memcpy(to, from, static_cast<std::size_t>(size));
}

const std::byte* Player::source_of(const Play& p, int id) const {
    if (program.payload != Payload::full) return nullptr;
    const auto i = static_cast<std::size_t>(id - first);
    const CollectiveKind kind = p.collective.operation;
    return kind == CollectiveKind::alltoall || kind == CollectiveKind::send_recv ? inputs[i].data() : buffers[i].data();
}

void Player::enter(Unit& u, const Play& p, int id) {
    u.group = group_of(program.mapping, p, id);
    u.clock += p.time;
    u.offset = 0;
    u.bytes = p.bytes;
    if (p.shards > 1) {
        const int mine = place(program.mapping, p.axis, id) % p.shards;
        u.offset = block_start(p.bytes, program.element_bytes, p.shards, mine);
        u.bytes = block_start(p.bytes, program.element_bytes, p.shards, mine + 1) - u.offset;
    }
    u.round = 0;
    u.inside = true;
    u.has_sent = false;
}

/// Where the blocks of a message lie: a run of bytes, and what of it wraps around to the front.
Player::Part Player::part_of(const Unit& u, const Collective& c, const Blocks& b) const {
    const auto start = [&](int i) { return block_start(u.bytes, program.element_bytes, c.blocks, i); };
    const int end = b.first + b.count;
    const std::int64_t at = start(b.first);
    if (end <= c.blocks) return {u.offset + at, start(end) - at, u.offset, 0};
    return {u.offset + at, start(c.blocks) - at, u.offset, start(end - c.blocks)};
}

/// The bytes of a message, one after the other; valid until the next call.
const std::byte* Player::gathered(const std::byte* buffer, const Part& p) {
    if (!buffer || p.wrapped == 0) return buffer ? buffer + p.at : nullptr;
    scratch_.assign(buffer + p.at, buffer + p.at + p.bytes);
    scratch_.insert(scratch_.end(), buffer + p.front, buffer + p.front + p.wrapped);
    return scratch_.data();
}

/// False: waits.
bool Player::play_round(Unit& u, const Play& p, int id) {
    const Round r = round_of(p.collective, u.group.place, u.round);
    if (r.to >= 0 && !u.has_sent) {
        const Part part = part_of(u, p.collective, r.send);
        const int to = u.group.unit(r.to);
        const Wire& wire = wire_of(p, id, to);
        if (must_ask(u, id, wire)) return false;
        send(u, id, to, collective_tag, part.bytes + part.wrapped, wire, gathered(source_of(p, id), part));
        u.has_sent = true;
    }
    if (r.from >= 0) {
        const Part part = part_of(u, p.collective, r.receive);
        const int from = u.group.unit(r.from);
        if (!receive(u, from, collective_tag, wire_of(p, from, id), &part, r.add)) return false;
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
    return true;
}

bool Player::play(Unit& u, const Play& p, int id) {
    switch (p.kind) {
        case Step::Kind::compute: u.clock += slowed(u, p.time); return u.clock < u.fails_at;
        case Step::Kind::send: {
            const int to = peer(id, p.peer);
            const Wire& wire = wire_of(p, id, to);
            if (must_ask(u, id, wire)) return false;
            send(u, id, to, p.tag, p.bytes, wire, nullptr);
            return true;
        }
        case Step::Kind::receive: {
            const int from = peer(id, p.peer);
            return receive(u, from, p.tag, wire_of(p, from, id), nullptr, false);
        }
        case Step::Kind::collective: return collective(u, p, id);
    }
    return false;
}

int Player::peer(int id, int stage) const {
    const int each = program.units / static_cast<int>(program.stages.size());
    return id % each + stage * each;
}

/// Until it waits, or is done.
void Player::advance(int id) {
    Unit& u = unit(id);
    const std::vector<Play>& list = program.stages[static_cast<std::size_t>(program.stage_of(id))];
    while (static_cast<std::size_t>(u.step) < list.size()) {
        const Play& p = list[static_cast<std::size_t>(u.step)];
        if (!play(u, p, id)) {
            if (u.clock >= u.fails_at) u.clock = u.fails_at, u.dead = true;
            return;
        }
        if (u.watched && u.clock > u.begun) marks.push_back({id, p.step, u.begun, u.clock});
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
