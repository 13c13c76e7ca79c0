#include "models/fabric/word.hpp"

#include "models/fabric/lane_copy.hpp"

namespace wb::fabric {

namespace {

constexpr int north = 0, east = 1, south = 2, west = 3, ramp = 4;

template <class F>
void for_colours(std::uint32_t colours, F&& f) {
    for (; colours != 0; colours &= colours - 1) f(static_cast<Colour>(std::countr_zero(colours)));
}

Plane accepted_by(const Block* b, Port from) { return b != nullptr ? b->accepts(from) : 0; }

}  // namespace

Block& Word::block(Colour c, bool data) {
    Block*& b = blocks_[c];
    if (b != nullptr) return *b;
    b = arena->make<Block>();
    if (data)
        for (auto& s : b->slot) s = arena->array<std::uint32_t>(lanes);
    return *b;
}

void Word::link(Colour c) {
    for (int p = 0; p < 4; ++p) blocks_[c]->beyond[p] = beyond[p] != nullptr ? beyond[p]->find(c) : nullptr;
}

RampQueue& Word::up(Colour c, int ramp_cycles, bool data) {
    Block& b = block(c, data);
    if (b.up == nullptr) b.up = arena->make<RampQueue>(ramp_cycles, data, *arena);
    return *b.up;
}

RampQueue& Word::down(Colour c, int ramp_cycles, bool data) {
    Block& b = block(c, data);
    if (b.down == nullptr) b.down = arena->make<RampQueue>(ramp_cycles, data, *arena);
    return *b.down;
}

/// The heads for which every destination has room.
Plane Word::movable(const Block& b) const {
    Plane go = b.some;
    if ((b.uses & bit(Port::north)) != 0) go &= ~b.to[north] | accepted_by(b.beyond[north], Port::south);
    if ((b.uses & bit(Port::south)) != 0) go &= ~b.to[south] | accepted_by(b.beyond[south], Port::north);
    if ((b.uses & bit(Port::east)) != 0)
        go &= ~b.to[east] | from_east(b.accepts(Port::west), accepted_by(b.beyond[east], Port::west));
    if ((b.uses & bit(Port::west)) != 0)
        go &= ~b.to[west] | from_west(b.accepts(Port::east), accepted_by(b.beyond[west], Port::east));
    if ((b.uses & bit(Port::ramp)) != 0) go &= ~b.to[ramp] | b.up->room();
    return go;
}

void Word::publish(Cycle& c, Colour colour, Block& b, Plane go) {
    b.decided = c.now;
    b.leave = go;
    b.old_head = b.head;
    b.old_flag = select(b.head, b.flag[0], b.flag[1]);
    const std::uint32_t mark = 1U << colour;
    moved_ |= mark;
    const auto tell = [&](int p) {
        if (beyond[p] == nullptr) return;
        beyond[p]->incoming_[(p + 2) % 4] |= mark;
        std::atomic_ref(c.arriving[beyond[p]->index]).store(1, std::memory_order_relaxed);
    };
    for (int p = 0; p < port_count; ++p) {
        if ((b.uses >> p & 1U) == 0) continue;
        b.out[p] = go & b.to[p];
        if (b.out[p] == 0 || p == ramp) continue;
        c.hops += static_cast<std::uint64_t>(std::popcount(b.out[p]));
        if (p == east) {
            if (b.out[p] << 1 != 0) incoming_[west] |= mark;
            if (b.out[p] >> 63 != 0) tell(p);
        } else if (p == west) {
            if (b.out[p] >> 1 != 0) incoming_[east] |= mark;
            if ((b.out[p] & 1) != 0) tell(p);
        } else {
            tell(p);
        }
    }
}

void Word::decide(Cycle& c) {
    Plane busy[port_count] = {};
    const std::uint32_t late = (1U << c.first_colour) - 1;
    for (const std::uint32_t turn : {occupied_ & ~late, occupied_ & late})
        for_colours(turn, [&](Colour colour) {
            Block& b = *blocks_[colour];
            Plane go = movable(b);
            for (int p = 0; p < port_count; ++p) go &= ~(b.to[p] & busy[p]);
            if (go == 0) return;
            publish(c, colour, b, go);
            for (int p = 0; p < port_count; ++p) busy[p] |= go & b.to[p];
        });
    if (!c.link_use || moved_ == 0) return;
    if (use_ == nullptr) use_ = arena->make<LinkUse>();
    for (int p = 0; p < port_count; ++p)
        if (busy[p] != 0) use_->add(p, busy[p]);
}

/// What comes through one port; its payloads are copied to `tail`.
Plane Word::receive(Cycle& c, Block& b, Port from, Plane tail) {
    const int p = static_cast<int>(from), facing = (p + 2) % 4;
    const Block* other = b.beyond[p];
    const auto sent = [&](const Block* s) { return s != nullptr && s->decided == c.now ? s->out[facing] : 0; };
    Plane arrive = 0, heads = 0, flags = 0;
    if (from == Port::north || from == Port::south) {
        arrive = sent(other);
        heads = other->old_head;
        flags = other->old_flag;
        if (c.data) {
            const std::uint32_t* source[2] = {other->slot[0], other->slot[1]};
            std::uint32_t* target[2] = {b.slot[0], b.slot[1]};
            copy_lanes(target, source, 0, arrive, heads, tail);
        }
    } else {
        const bool westward = from == Port::west;
        const auto shifted = [&](Plane own, Plane edge) {
            return westward ? from_west(own, edge) : from_east(own, edge);
        };
        const int edge_lane = westward ? 0 : 63;
        arrive = shifted(sent(&b), sent(other));
        heads = shifted(b.old_head, other != nullptr ? other->old_head : 0);
        flags = shifted(b.old_flag, other != nullptr ? other->old_flag : 0);
        if (c.data) {
            const std::uint32_t* source[2] = {b.slot[0], b.slot[1]};
            std::uint32_t* target[2] = {b.slot[0], b.slot[1]};
            copy_lanes(target, source, westward ? -1 : 1, arrive & ~bit_of(edge_lane), heads, tail);
            if ((arrive & bit_of(edge_lane)) != 0)
                target[tail >> edge_lane & 1U][edge_lane] = other->slot[heads >> edge_lane & 1U][63 - edge_lane];
        }
    }
    store_flags(b, arrive, flags, tail);
    return arrive;
}

void Word::store_flags(Block& b, Plane arrive, Plane flags, Plane tail) {
    if ((flags | b.flag[0] | b.flag[1]) == 0) return;
    b.flag[0] = select(arrive & ~tail, b.flag[0], flags);
    b.flag[1] = select(arrive & tail, b.flag[1], flags);
}

/// A full queue that let one go may take another: whoever feeds it must look again.
void Word::wake_sources(Cycle& c, const Block& b, Plane freed) {
    if (freed == 0) return;
    if ((freed & b.from[north]) != 0 && beyond[north] != nullptr) c.wake(beyond[north]->index);
    if ((freed & b.from[south]) != 0 && beyond[south] != nullptr) c.wake(beyond[south]->index);
    if ((freed & b.from[west] & 1) != 0 && beyond[west] != nullptr) c.wake(beyond[west]->index);
    if ((freed & b.from[east]) >> 63 != 0 && beyond[east] != nullptr) c.wake(beyond[east]->index);
}

void Word::switch_on(Cycle& c, Block& b, Plane leave) {
    const Plane on = leave & b.old_flag & b.switching;
    for_lanes(on, [&](int lane) {
        Switch& s = b.switches[lane];
        if (s.current + 1 < s.positions)
            ++s.current;
        else if (s.ring)
            s.current = 0;
        b.set_position(lane, s.position[s.current]);
    });
    wake_sources(c, b, on);
}

/// Takes what arrives, lets go what leaves. All decisions were made on the state before.
void Word::move(Cycle& c, Colour colour, Plane inject) {
    Block& b = *blocks_[colour];
    const std::uint32_t mark = 1U << colour;
    const Plane leave = b.decided == c.now ? b.leave : 0;
    const Plane tail = b.head ^ b.some;
    Plane arrive = 0;
    for (int p = 0; p < 4; ++p)
        if ((incoming_[p] & mark) != 0) arrive |= receive(c, b, static_cast<Port>(p), tail);
    if (inject != 0) {
        if (c.data) for_lanes(inject, [&](int lane) { b.slot[tail >> lane & 1U][lane] = b.down->take(lane); });
        store_flags(b, inject, b.down->pop(inject), tail);
        if (b.down->ready() == 0) down_ready_ &= ~mark;
        arrive |= inject;
    }
    const Plane delivered = leave & (b.decided == c.now ? b.out[ramp] : 0);
    if (delivered != 0) {
        b.up->push(delivered, c.slot);
        up_flying_ |= mark;
        if (c.data) for_lanes(delivered, [&](int lane) { b.up->put(lane, b.slot[b.old_head >> lane & 1U][lane]); });
    }
    const Plane freed = leave & b.full;
    const Plane some = select(leave, b.some, b.full), full = b.full & ~leave;
    b.some = some | arrive;
    b.full = full | (some & arrive);
    b.head ^= leave;
    occupied_ = b.some != 0 ? occupied_ | mark : occupied_ & ~mark;
    wake_sources(c, b, freed);
    if ((leave & b.old_flag & b.switching) != 0) switch_on(c, b, leave);
}

bool Word::mature(int slot) {
    std::uint32_t up = 0, down = 0;
    for_colours(up_flying_, [&](Colour k) {
        RampQueue& q = *blocks_[k]->up;
        if (q.mature(slot)) up |= 1U << k;
        if (!q.flying()) up_flying_ &= ~(1U << k);
    });
    for_colours(down_flying_, [&](Colour k) {
        RampQueue& q = *blocks_[k]->down;
        if (q.mature(slot)) down |= 1U << k;
        if (!q.flying()) down_flying_ &= ~(1U << k);
    });
    up_ready_ |= up;
    down_ready_ |= down;
    return (up | down) != 0;
}

void Word::advance(Cycle& c) {
    bool changed = mature(c.slot);
    const std::uint32_t sending = down_ready_;
    if (!flows_.empty()) changed = progress(c) || changed;
    std::uint32_t todo = moved_;
    for (const std::uint32_t in : incoming_) todo |= in;
    for_colours(todo | sending, [&](Colour k) {
        Block& b = *blocks_[k];
        const Plane inject = (sending >> k & 1U) != 0 ? b.down->ready() & b.accepts(Port::ramp) : 0;
        if ((todo >> k & 1U) == 0 && inject == 0) return;
        move(c, k, inject);
        changed = true;
    });
    moved_ = 0;
    for (std::uint32_t& in : incoming_) in = 0;
    // Sleeps unless something may change in the next cycle by itself.
    if (changed || (up_flying_ | down_flying_) != 0) c.wake(index);
}

}  // namespace wb::fabric
