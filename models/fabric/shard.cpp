#include "models/fabric/shard.hpp"

#include <algorithm>
#include <cstring>

#include "models/fabric/grid.hpp"

namespace wb::fabric {

Shard::Shard(const Machine& machine, Grid& grid, std::size_t first_row, std::size_t last_row)
    : machine_(machine), grid_(grid), first_(first_row), last_(last_row), timers_(last_row - first_row) {
    for (Cycle& c : cycles_) {
        c.data = machine.data;
        c.link_use = machine.link_use;
        c.arriving = grid.arriving();
    }
}

bool Shard::shares_bottom() const { return last_ < static_cast<std::size_t>(grid_.rows()); }

Shard::Timers& Shard::timers(const Node& node) { return timers_[static_cast<std::size_t>(node.row()) - first_]; }
void Shard::resume_at(std::uint64_t due, Node& node) { timers(node).resumes.add(now(), due, &node); }
void Shard::start_at(std::uint64_t due, Node& node, Instruction& i) {
    timers(node).starts.add(now(), due, {&node, &i});
}

void Shard::wake_now(const Word& w) { grid_.awake(now())[w.index] = 1; }

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

void Shard::decide_row(std::size_t row, std::size_t cycle) {
    const std::size_t begin = row * grid_.words_per_row();
    Cycle& c = cycles_[cycle];
    const std::uint8_t* awake = grid_.awake(c.now);
    for_marked(begin, begin + grid_.words_per_row(), awake, awake, [&](std::size_t i) { grid_.word(i).decide(c); });
}

void Shard::advance_row(std::size_t row, std::size_t cycle) {
    cycle_ = &cycles_[cycle];
    Timers& due = timers_[row - first_];
    due.resumes.take(now(), [&](Node* n) {
        cycle_->active = true;
        resume(*n);
    });
    due.starts.take(now(), [&](const Start& s) {
        cycle_->active = true;
        s.node->begin(*s.instruction);
    });
    const std::size_t begin = row * grid_.words_per_row();
    std::uint8_t* awake = grid_.awake(now());
    for_marked(begin, begin + grid_.words_per_row(), awake, cycle_->arriving, [&](std::size_t i) {
        awake[i] = cycle_->arriving[i] = 0;
        cycle_->active = true;
        grid_.word(i).advance(*cycle_);
    });
}

void Shard::begin_window(std::uint64_t now, int cycles) {
    window_ = static_cast<std::size_t>(cycles);
    const std::vector<Colour>& colours = grid_.colours();
    for (std::size_t k = 0; k < window_; ++k, ++now) {
        Cycle& c = cycles_[k];
        c.now = now;
        c.slot = static_cast<int>(now % static_cast<std::uint64_t>(machine_.ramp_cycles()));
        c.first_colour = colours.empty() ? 0 : colours[now % colours.size()];
        c.awake = grid_.awake(now + 1);
        c.any_awake = c.active = false;
    }
}

void Shard::sweep() {
    for (std::size_t step = first_; step < last_ + 2 * window_; ++step)
        for (std::size_t k = 0; k < window_ && 2 * k <= step; ++k) {
            const std::size_t row = step - 2 * k;
            const std::size_t first = shares_top() ? first_ + 2 * k + 1 : first_;
            const std::size_t last = shares_bottom() ? last_ - 2 * k - 1 : last_;
            if (row < first || row >= last) continue;
            if (row == first) {
                if (shares_top()) decide_row(row - 1, k);
                decide_row(row, k);
            }
            if (row + 1 < last || shares_bottom()) decide_row(row + 1, k);
            advance_row(row, k);
        }
}

void Shard::close(Shard& above, Shard& below) {
    const std::size_t boundary = below.first_;
    const auto owner = [&](std::size_t row) -> Shard& { return above.has(row) ? above : below; };
    for (std::size_t k = 0; k < below.window_; ++k) {
        for (std::size_t row = boundary - 2 * k; row < boundary + 2 * k; ++row) owner(row).decide_row(row, k);
        for (std::size_t row = boundary - 2 * k - 1; row < boundary + 2 * k + 1; ++row) owner(row).advance_row(row, k);
    }
}

void Shard::resume(Node& node) {
    try {
        node.resume(now());
    } catch (...) {
        const std::pair at(now(), grid_.index(node));
        if (!error_ || at < error_at_) {
            error_ = std::current_exception();
            error_at_ = at;
        }
    }
}

std::uint64_t Shard::last_active() const {
    std::size_t k = window_ - 1;
    while (k > 0 && !cycles_[k].active) --k;
    return cycles_[k].now;
}

std::uint64_t Shard::next_timer(std::uint64_t now) const {
    std::uint64_t next = never;
    for (const Timers& t : timers_) next = std::min({next, t.resumes.next(now), t.starts.next(now)});
    return next;
}

Cycle Shard::counts() const {
    Cycle sum;
    for (const Cycle& c : cycles_) {
        sum.hops += c.hops;
        sum.injected += c.injected;
        sum.consumed += c.consumed;
    }
    return sum;
}

Phase* Shard::phase(std::string_view name) {
    auto found = phases_.find(name);
    if (found == phases_.end()) {
        found = phases_.emplace(std::string(name), Phase{}).first;
        found->second.name = name;
        found->second.begin = now();
    }
    found->second.begin = std::min(found->second.begin, now());  // rows do not go through a cycle together
    return &found->second;
}

}  // namespace wb::fabric
