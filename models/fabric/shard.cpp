#include "models/fabric/shard.hpp"

#include <cstring>

#include "models/fabric/grid.hpp"

namespace wb::fabric {

Shard::Shard(const Machine& machine, Grid& grid, std::size_t first_row, std::size_t last_row)
    : machine_(machine), grid_(grid), first_(first_row), last_(last_row) {
    cycle_.data = machine.data;
    cycle_.link_use = machine.link_use;
    cycle_.arriving = grid.arriving();
}

void Shard::wake_now(const Word& w) {
    grid_.awake(cycle_.now)[w.index] = 1;
    cycle_.any_awake = true;
}

namespace {

/// Calls f(i) for begin <= i < end where a[i] or b[i], eight at a look.
template <class F>
void for_marked(std::size_t begin, std::size_t end, const std::uint8_t* a, const std::uint8_t* b, F&& f) {
    std::size_t i = begin;
    for (; i + 8 <= end; i += 8) {
        std::uint64_t eight = 0, more = 0;
        std::memcpy(&eight, a + i, 8);
        std::memcpy(&more, b + i, 8);
        if ((eight | more) == 0) continue;
        for (std::size_t k = i; k < i + 8; ++k)
            if ((a[k] | b[k]) != 0) f(k);
    }
    for (; i < end; ++i)
        if ((a[i] | b[i]) != 0) f(i);
}

}  // namespace

void Shard::decide_row(std::size_t row) {
    const std::size_t begin = row * grid_.words_per_row();
    const std::uint8_t* awake = grid_.awake(cycle_.now);
    for_marked(begin, begin + grid_.words_per_row(), awake, awake,
               [&](std::size_t i) { grid_.word(i).decide(cycle_); });
}

void Shard::advance_row(std::size_t row) {
    const std::size_t begin = row * grid_.words_per_row();
    std::uint8_t* awake = grid_.awake(cycle_.now);
    for_marked(begin, begin + grid_.words_per_row(), awake, cycle_.arriving, [&](std::size_t i) {
        awake[i] = cycle_.arriving[i] = 0;
        grid_.word(i).advance(cycle_);
    });
}

/// The rows that other shards look at.
void Shard::decide_edges(std::uint64_t now) {
    cycle_.now = now;
    cycle_.slot = static_cast<int>(now % static_cast<std::uint64_t>(machine_.ramp_cycles()));
    const std::vector<Colour>& colours = grid_.colours();
    cycle_.first_colour = colours.empty() ? 0 : colours[now % colours.size()];
    decide_row(first_);
    if (last_ - first_ > 1) decide_row(last_ - 1);
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
    for (std::size_t row = first_; row < last_; ++row) {
        if (row + 2 < last_) decide_row(row + 1);
        advance_row(row);
    }
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
