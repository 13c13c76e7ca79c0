// The fabric instructions of the PEs of a word.

#include "models/fabric/node.hpp"
#include "models/fabric/word.hpp"

namespace wb::fabric {

Flow& Word::flow(const FlowKey& key, int ramp_cycles, bool data) {
    for (const FlowHead& head : flows_)
        if (head.flow->key == key) return *head.flow;
    FlowHead head;
    head.flow = arena->make<Flow>();
    Flow& f = *head.flow;
    f.key = key;
    f.place = static_cast<int>(flows_.size());
    if (key.receives) {
        head.in = 1U << key.in;
        f.up = &up(key.in, ramp_cycles, data);
    }
    if (key.sends) f.down = &down(key.out, ramp_cycles, data);
    if (data) f.cursor = arena->array<Cursor>(lanes);
    if (data && key.calculates && !key.sends) f.second = arena->array<Operand>(lanes);
    flows_.push_back(head);
    return f;
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
    for (const FlowHead& head : flows_) {
        if (head.active == 0 || (head.in != 0 && (head.in & up_ready_) == 0)) continue;
        Flow& f = *head.flow;
        f.request = head.active;
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
    for (FlowHead& head : flows_)
        if (head.active != 0 && head.flow->request != 0) grant(c, head);
    return true;
}

/// The payloads through the lanes that may progress.
void Word::calculate(Flow& f) {
    // The PEs' memories lie far apart: ask for all lines before waiting for the first.
    for_lanes(f.request, [&](int lane) {
        const Cursor& cursor = f.cursor[lane];
        if (cursor.a != Vec::nowhere) __builtin_prefetch(memory[static_cast<std::size_t>(lane)] + cursor.a, 1);
    });
    for_lanes(f.request, [&](int lane) {
        Cursor& cursor = f.cursor[lane];
        const std::uint32_t payload = f.key.receives ? f.up->take(lane) : 0;
        const std::uint32_t on = cursor.apply(memory[static_cast<std::size_t>(lane)], payload,
                                              f.second != nullptr ? f.second + lane : nullptr);
        if (f.key.sends) f.down->put(lane, on);
    });
}

/// One wavelet through each instruction that may progress.
void Word::grant(Cycle& c, FlowHead& head) {
    Flow& f = *head.flow;
    const Plane go = f.request;
    if (c.data) calculate(f);
    if (f.key.receives) {
        f.up->pop(go);
        if (f.up->ready() == 0) up_ready_ &= ~head.in;
        c.consumed += static_cast<std::uint64_t>(std::popcount(go));
    }
    if (f.key.sends) {
        f.down->push(go, c.slot);
        down_flying_ |= 1U << f.key.out;
        c.injected += static_cast<std::uint64_t>(std::popcount(go));
    }
    if (f.key.calculates) for_lanes(go & computing, [&](int lane) { nodes[lane].delay(); });
    f.request = 0;
    const Plane over = f.left.subtract(go);
    head.active &= ~over;
    for_lanes(over, [&](int lane) {
        Instruction& i = *f.owner[lane];
        if (i.advances()) f.down->mark(lane);
        nodes[lane].complete(i, c.now);
    });
}

void Word::activate(Instruction& i, int lane) {
    Flow& f = *i.flow();
    flows_[static_cast<std::size_t>(f.place)].active |= bit_of(lane);
    f.left.set(lane, i.wavelets() - 1);
    f.owner[lane] = &i;
    if (f.cursor != nullptr) f.cursor[lane] = i.cursor();
    if (f.second != nullptr) f.second[lane] = i.second();
}

std::size_t Word::bytes() const {
    std::size_t sum = sizeof(Word);
    for (const Block* b : blocks_) {
        if (b == nullptr) continue;
        sum += sizeof(Block);
        if (b->slot[0] != nullptr) sum += 2 * lanes * sizeof(std::uint32_t);
        if (b->switches != nullptr) sum += lanes * sizeof(Switch);
        if (b->up != nullptr) sum += b->up->bytes();
        if (b->down != nullptr) sum += b->down->bytes();
    }
    for (const FlowHead& h : flows_)
        sum += sizeof h + sizeof(Flow) + (h.flow->cursor != nullptr ? lanes * sizeof(Cursor) : 0) +
               (h.flow->second != nullptr ? lanes * sizeof(Operand) : 0);
    if (use_ != nullptr) sum += sizeof(LinkUse);
    return sum;
}

}  // namespace wb::fabric
