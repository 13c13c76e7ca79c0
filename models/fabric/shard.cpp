#include "models/fabric/shard.hpp"

#include <cstring>

#include "models/fabric/grid.hpp"

namespace wb::fabric {

Shard::Shard(const Machine& machine, Grid& grid, std::size_t first_word, std::size_t last_word)
    : machine_(machine), grid_(grid), first_(first_word), last_(last_word) {
    cycle_.data = machine.data;
    cycle_.link_use = machine.link_use;
    cycle_.arriving = grid.arriving();
}

void Shard::wake_now(const Word& w) {
    grid_.awake(cycle_.now)[w.index] = 1;
    cycle_.any_awake = true;
}

/// Calls f(word) for the words of this shard that are marked in a or b, eight at a look.
template <class F>
void Shard::for_marked(const std::uint8_t* a, const std::uint8_t* b, F&& f) {
    std::size_t i = first_;
    for (; i + 8 <= last_; i += 8) {
        std::uint64_t eight = 0, more = 0;
        std::memcpy(&eight, a + i, 8);
        std::memcpy(&more, b + i, 8);
        if ((eight | more) == 0) continue;
        for (std::size_t k = i; k < i + 8; ++k)
            if ((a[k] | b[k]) != 0) f(k);
    }
    for (; i < last_; ++i)
        if ((a[i] | b[i]) != 0) f(i);
}

void Shard::decide(std::uint64_t now) {
    cycle_.now = now;
    cycle_.slot = static_cast<int>(now % static_cast<std::uint64_t>(machine_.ramp_cycles()));
    const std::vector<Colour>& colours = grid_.colours();
    cycle_.first_colour = colours.empty() ? 0 : colours[now % colours.size()];
    const std::uint8_t* awake = grid_.awake(now);
    for_marked(awake, awake, [&](std::size_t i) { grid_.word(i).decide(cycle_); });
}

void Shard::resume(Node& node) {
    try {
        node.resume(cycle_.now);
    } catch (...) {
        const std::size_t at = grid_.index(node);
        if (!error_ || at < error_at_) {
            error_ = std::current_exception();
            error_at_ = at;
        }
    }
}

void Shard::advance() {
    cycle_.any_awake = false;
    cycle_.awake = grid_.awake(cycle_.now + 1);
    resumes_.take(cycle_.now, [&](Node* n) { resume(*n); });
    starts_.take(cycle_.now, [&](const Start& s) { s.node->begin(*s.instruction); });
    cycle_.any_awake = false;
    std::uint8_t* awake = grid_.awake(cycle_.now);
    for_marked(awake, cycle_.arriving, [&](std::size_t i) {
        awake[i] = cycle_.arriving[i] = 0;
        grid_.word(i).advance(cycle_);
    });
}

std::uint64_t Shard::next_timer(std::uint64_t now) const { return std::min(resumes_.next(now), starts_.next(now)); }

Phase* Shard::phase(std::string_view name) {
    auto found = phases_.find(name);
    if (found == phases_.end()) {
        found = phases_.emplace(std::string(name), Phase{}).first;
        found->second.name = name;
        found->second.begin = cycle_.now;
    }
    return &found->second;
}

}  // namespace wb::fabric
