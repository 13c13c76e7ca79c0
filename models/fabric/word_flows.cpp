// The fabric instructions of the PEs of a word.

#include "models/fabric/node.hpp"
#include "models/fabric/word.hpp"

namespace wb::fabric {

Flow& Word::flow(const FlowKey& key, int ramp_cycles, bool data) {
    for (const auto& f : flows_)
        if (f->key == key) return *f;
    auto f = std::make_unique<Flow>();
    f->key = key;
    if (key.receives) f->up = &up(key.in, ramp_cycles, data);
    if (key.sends) f->down = &down(key.out, ramp_cycles, data);
    if (data) f->cursor = std::make_unique<Cursor[]>(lanes);
    flows_.push_back(std::move(f));
    return *flows_.back();
}

/// Of a PE's instructions that could progress, the earlier begun take the emit slot and the datapath.
void Word::arbitrate(int lane) {
    bool emitted = false, calculated = false;
    for (const Instruction* i : nodes[lane].running()) {
        Flow* f = i->flow();
        if (f == nullptr || (f->request >> lane & 1U) == 0) continue;
        if ((f->key.sends && emitted) || (f->key.calculates && calculated)) {
            f->request &= ~bit_of(lane);
            continue;
        }
        emitted = emitted || f->key.sends;
        calculated = calculated || f->key.calculates;
    }
}

bool Word::progress(Cycle& c) {
    Plane any = 0, emit = 0, emit_more = 0, calculate = 0, calculate_more = 0;
    for (const auto& p : flows_) {
        Flow& f = *p;
        f.request = f.active;
        if (f.request == 0) continue;
        if (f.key.receives) f.request &= f.up->ready();
        if (f.key.sends) {
            f.request &= f.down->room();
            emit_more |= emit & f.request;
            emit |= f.request;
        }
        if (f.key.calculates) {
            calculate_more |= calculate & f.request;
            calculate |= f.request;
        }
        any |= f.request;
    }
    if (any == 0) return false;
    for_lanes(emit_more | calculate_more, [&](int lane) { arbitrate(lane); });
    for (const auto& f : flows_)
        if (f->request != 0) grant(c, *f);
    return true;
}

/// One wavelet through each instruction that may progress.
void Word::grant(Cycle& c, Flow& f) {
    const Plane go = f.request;
    if (c.data)
        for_lanes(go, [&](int lane) {
            const std::uint32_t on = f.cursor[static_cast<std::size_t>(lane)].apply(
                memory[static_cast<std::size_t>(lane)], f.key.receives ? f.up->take(lane) : 0);
            if (f.key.sends) f.down->put(lane, on);
        });
    if (f.key.receives) {
        f.up->pop(go);
        c.consumed += static_cast<std::uint64_t>(std::popcount(go));
    }
    if (f.key.sends) {
        f.down->push(go, c.slot);
        down_busy_ |= 1U << f.key.out;
        c.injected += static_cast<std::uint64_t>(std::popcount(go));
    }
    if (f.key.calculates) for_lanes(go & computing, [&](int lane) { nodes[lane].delay(); });
    const Plane over = f.left.subtract(go);
    f.active &= ~over;
    for_lanes(over, [&](int lane) {
        Instruction& i = *f.owner[lane];
        if (i.advances()) f.down->mark(lane);
        nodes[lane].complete(i, c.now);
    });
}

void Word::activate(Instruction& i, int lane) {
    Flow& f = *i.flow();
    f.active |= bit_of(lane);
    f.left.set(lane, i.wavelets() - 1);
    f.owner[lane] = &i;
    if (f.cursor) f.cursor[static_cast<std::size_t>(lane)] = i.cursor();
}

std::size_t Word::bytes() const {
    std::size_t sum = sizeof(Word);
    for (const auto& b : blocks_)
        if (b)
            sum += sizeof(Block) + (b->slot[0] ? 2 * lanes * sizeof(std::uint32_t) : 0) +
                   (b->switches ? sizeof(*b->switches) : 0) + (b->up ? b->up->bytes() : 0) +
                   (b->down ? b->down->bytes() : 0);
    for (const auto& f : flows_) sum += sizeof(Flow) + (f->cursor ? lanes * sizeof(Cursor) : 0);
    if (use_) sum += port_count * sizeof(Counters<32>);
    return sum;
}

}  // namespace wb::fabric
