#include "core/memory_plan.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

#include "core/element.hpp"
#include "core/error.hpp"

namespace wb {
namespace {

struct Lifetime {
    int first = std::numeric_limits<int>::max(), last = -1;  // op positions
    bool other_block = false;                                // used by a block that is not its own
};

const Carry* carry_with(const Block& block, TensorId id, TensorId Carry::*member) {
    for (const Carry& c : block.carries)
        if (c.*member == id) return &c;
    return nullptr;
}

/// Lifetimes of all stored tensors, in op positions; whole blocks where an iteration may come back to a value.
std::vector<Lifetime> lifetimes(const Graph& g, const FusedOps& fused, std::span<const Hold> holds) {
    std::vector<Lifetime> life(g.tensors().size());
    const auto follow = [&](const auto& self, TensorId id, const Block& user, int op, std::size_t depth) -> void {
        bool last_only = false;
        for (;;) {  // follow names to what is stored, and keep every value a name may mean alive
            const Tensor& t = g.tensor(id);
            Lifetime& l = life[index(id)];
            const bool own = t.block >= 0 && &g.blocks()[t.block] == &user;
            if (!own && t.block >= 0 && !last_only) l.other_block = true;
            l.first = std::min(l.first, own ? op : user.first);
            l.last = std::max(l.last, own ? op : user.last - 1);
            const Block* block = t.block >= 0 ? &g.blocks()[t.block] : nullptr;
            if (const Carry* c = block ? carry_with(*block, id, &Carry::in) : nullptr) {
                Lifetime& out = life[index(c->out)];
                out.other_block |= !own;
                out.first = std::min(out.first, block->first);
                out.last = std::max({out.last, block->last - 1, own ? op : user.last - 1});
                life[index(c->init)].last = std::max(life[index(c->init)].last, block->last - 1);
                if (depth < block->carries.size() && carry_with(*block, c->out, &Carry::in))
                    self(self, c->out, user, op, depth + 1);
                id = c->init;
                continue;
            }
            const Carry* c = nullptr;
            for (const Block& b : g.blocks())
                if (!c) c = carry_with(b, id, &Carry::result);
            if (!c) return;
            id = c->out;
            last_only = true;
        }
    };
    const auto touch = [&](TensorId id, const Block& user, int op) { follow(follow, id, user, op, 0); };
    for (const Block& block : g.blocks()) {
        for (int i = block.first; i < block.last; ++i) {
            for (TensorId id : g.ops()[i].in) touch(id, block, fused.place_of(i));
            for (TensorId id : g.ops()[i].out) touch(id, block, fused.place_of(i));
        }
        for (const Carry& c : block.carries)
            for (TensorId id : {c.init, c.out}) {
                touch(id, block, block.first);
                life[index(id)].last = std::max(life[index(id)].last, block.last - 1);
            }
        for (const Carry& c : block.carries) {
            TensorId id = c.out;  // handed on as another carried value it is read two and more iterations later
            for (std::size_t i = 0; i < block.carries.size(); ++i)
                if (const Carry* next = carry_with(block, id, &Carry::in)) id = next->out;
            if (id != c.out) life[index(id)].other_block = true;
            if (g.tensor(c.result).role == Role::output)
                touch(c.result, g.blocks().back(), static_cast<int>(g.ops().size()) - 1);
        }
    }
    for (const Hold& h : holds) touch(h.id, g.block_of(h.op), h.op);
    for (std::size_t i = 0; i < life.size(); ++i)  // a value another block uses lives through its whole own block
        if (const int b = g.tensors()[i].block; b >= 0 && g.blocks()[b].repeat > 1 && life[i].other_block) {
            life[i].first = std::min(life[i].first, g.blocks()[b].first);
            life[i].last = std::max(life[i].last, g.blocks()[b].last - 1);
        }
    return life;
}

}  // namespace

Location locate(const Graph& g, TensorId id, std::int64_t iteration) {
    for (;;) {
        const Tensor& t = g.tensor(id);
        if (t.block < 0) {
            const Carry* c = nullptr;
            const Block* owner = nullptr;
            for (const Block& b : g.blocks())
                if (const Carry* found = carry_with(b, id, &Carry::result)) c = found, owner = &b;
            if (!c) return {id, 0};
            id = c->out;
            iteration = owner->reversed ? 0 : owner->repeat - 1;
            continue;
        }
        const Block& block = g.blocks()[t.block];
        if (block.repeat == 1) iteration = 0;
        const Carry* c = carry_with(block, id, &Carry::in);
        if (!c) return {id, iteration};
        const std::int64_t first = block.reversed ? block.repeat - 1 : 0;
        id = iteration == first ? c->init : c->out;  // either may be a name in turn
        iteration = iteration == first ? 0 : iteration + (block.reversed ? 1 : -1);
    }
}

MemoryPlan plan_memory(const Graph& g, std::int64_t alignment, const FusedOps& fused, std::span<const Hold> holds) {
    MemoryPlan plan;
    const std::size_t n = g.tensors().size();
    plan.places.resize(n);
    std::vector<bool> alias(n, false), carried(n, false);
    for (const Block& block : g.blocks())
        for (const Carry& c : block.carries) {
            alias[index(c.in)] = alias[index(c.result)] = true;
            carried[index(c.out)] = true;
            if (g.tensor(c.result).role == Role::output) carried[index(c.out)] = true;
        }
    const std::vector<Lifetime> life = lifetimes(g, fused, holds);
    std::vector<Lifetime> spans = life;
    for (const Block& block : g.blocks())
        for (const Carry& c : block.carries)
            if (g.tensor(c.result).role == Role::output) spans[index(c.out)].last = std::numeric_limits<int>::max();
    std::vector<std::size_t> in_arena;
    for (std::size_t i = 0; i < n; ++i) {
        const TensorId id = tensor_id(i);
        const Tensor& t = g.tensors()[i];
        MemoryPlan::Place& p = plan.places[i];
        p.stored = !alias[i] && !fused.is_absent(id);
        if (!p.stored) continue;
        const std::int64_t copies = g.instances(id);
        const bool kept = t.role != Role::activation;
        p.slots = kept || life[i].other_block ? copies : carried[i] ? std::min<std::int64_t>(2, copies) : 1;
        const std::int64_t bytes = g.elements(id) * stored_bytes(t.dtype);
        p.stride = (bytes + alignment - 1) / alignment * alignment;
        const Bytes size(static_cast<double>(p.slots * p.stride));
        if (t.role == Role::input) plan.inputs += size;
        if (t.role == Role::weight) plan.weights += size;
        if (t.role == Role::state) plan.state += size;
        if (t.role != Role::activation && t.role != Role::output) continue;
        if (t.role == Role::output) {  // of every iteration: what came before its op comes again in the next one
            spans[i].last = std::numeric_limits<int>::max();
            if (t.block >= 0) spans[i].first = std::min(spans[i].first, g.blocks()[t.block].first);
        }
        p.in_arena = true;
        in_arena.push_back(i);
    }
    std::sort(in_arena.begin(), in_arena.end(), [&](std::size_t a, std::size_t b) {
        const auto size = [&](std::size_t i) { return plan.places[i].slots * plan.places[i].stride; };
        return std::pair(-size(a), a) < std::pair(-size(b), b);  // large ones first: less waste between them
    });
    std::vector<std::size_t> placed;  // by offset
    for (std::size_t i : in_arena) {
        MemoryPlan::Place& p = plan.places[i];
        const std::int64_t size = p.slots * p.stride;
        std::int64_t at = 0;
        for (std::size_t j : placed) {
            const MemoryPlan::Place& q = plan.places[j];
            if (spans[j].last < spans[i].first || spans[i].last < spans[j].first) continue;
            if (at + size <= q.offset) break;
            at = std::max(at, q.offset + q.slots * q.stride);
        }
        p.offset = at;
        plan.arena_bytes = std::max(plan.arena_bytes, at + size);
        placed.insert(std::upper_bound(
                          placed.begin(), placed.end(), i,
                          [&](std::size_t a, std::size_t b) { return plan.places[a].offset < plan.places[b].offset; }),
                      i);
    }
    plan.activations = Bytes(static_cast<double>(plan.arena_bytes));
    return plan;
}

}  // namespace wb
