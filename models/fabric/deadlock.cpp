// Why nothing moves any more: follows who waits for whom until it closes a cycle or ends at a finished PE.

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "core/error.hpp"
#include "models/fabric/engine.hpp"

namespace wb::fabric {

namespace {

/// A PE, or one colour of its router, that waits.
struct Waiter {
    int place = 0;
    std::optional<Colour> router_colour;
    std::string says;

    bool operator==(const Waiter& o) const { return place == o.place && router_colour == o.router_colour; }
};

class Search {
public:
    explicit Search(Grid& grid) : grid_(grid) {}

    std::string chain(int first) {
        std::vector<Waiter> seen;
        std::optional<Waiter> now = pe(first);
        while (now) {
            const auto again = std::find(seen.begin(), seen.end(), *now);
            if (again != seen.end()) return "in a circle: " + text(again, seen.end());
            seen.push_back(*now);
            now = next(seen.back());
        }
        return text(seen.begin(), seen.end());
    }

private:
    using At = std::vector<Waiter>::const_iterator;

    std::string text(At from, At to) {
        std::string out;
        if (to - from > 12)
            return text(from, from + 6) + fmt::format(" <- ({} more) <- ", to - from - 12) + text(to - 6, to);
        for (; from != to; ++from) {
            if (!out.empty()) out += " <- ";
            out += fmt::format(
                "{} {}",
                from->router_colour ? "router" + node(from->place).place().substr(2) : node(from->place).place(),
                from->says);
        }
        return out;
    }

    Node& node(int i) { return grid_.node(static_cast<std::size_t>(i)); }
    Block* block(int place, Colour c) { return grid_.word(node(place).row(), node(place).column()).find(c); }
    static bool at(Plane p, int lane) { return (p >> lane & 1U) != 0; }

    /// The PE beyond this port.
    std::optional<int> beyond(int place, Port p) {
        constexpr int down[] = {-1, 0, 1, 0}, right[] = {0, 1, 0, -1};
        const int row = node(place).row() + down[static_cast<int>(p)];
        const int column = node(place).column() + right[static_cast<int>(p)];
        if (row < 0 || row >= grid_.rows() || column < 0 || column >= grid_.columns()) return std::nullopt;
        return row * grid_.columns() + column;
    }

    Waiter pe(int place) {
        const Node& n = node(place);
        return {place, std::nullopt, n.finished() ? "has finished" : n.waiting()};
    }

    std::optional<Port> source(int place, Colour c) {
        const Block* b = block(place, c);
        for (int p = 0; b != nullptr && p < port_count; ++p)
            if (at(b->from[p], node(place).lane())) return static_cast<Port>(p);
        return std::nullopt;
    }

    Waiter router(int place, Colour c) {
        if (!source(place, c)) return {place, c, fmt::format("has no route for colour {}", c)};
        const bool holds = block(place, c)->count(node(place).lane()) > 0;
        return {place, c, fmt::format("{} colour {}", holds ? "holds" : "lacks", c)};
    }

    std::optional<Waiter> next(const Waiter& w) {
        if (w.router_colour) return next_of_router(w.place, *w.router_colour);
        const Node& n = node(w.place);
        if (n.finished()) return std::nullopt;
        if (const auto c = n.colour_lacking()) return router(w.place, *c);
        if (const auto c = n.colour_blocked()) return router(w.place, *c);
        return std::nullopt;
    }

    /// A full router waits for where it sends; an empty one for where it takes from.
    std::optional<Waiter> next_of_router(int place, Colour c) {
        const auto from = source(place, c);
        if (!from) return std::nullopt;
        const Block& b = *block(place, c);
        const int lane = node(place).lane();
        if (b.count(lane) == 0) {
            if (*from == Port::ramp) return pe(place);
            const auto before = beyond(place, *from);
            return before ? std::optional(router(*before, c)) : std::nullopt;
        }
        for (const Port p : {Port::north, Port::east, Port::south, Port::west}) {
            if (!at(b.to[static_cast<int>(p)], lane)) continue;
            const int after = *beyond(place, p);
            if (!at(block(after, c)->accepts(opposite(p)), node(after).lane())) return router(after, c);
        }
        return pe(place);
    }

    Grid& grid_;
};

}  // namespace

void Engine::report_deadlock() {
    std::size_t waiting = 0, first = 0;
    for (std::size_t i = grid_.nodes(); i-- > 0;)
        if (!grid_.node(i).finished()) {
            ++waiting;
            first = i;
        }
    std::uint64_t last = 0;
    for (const Shard& s : shards_) last = std::max(last, s.last_active());
    throw Error({fmt::format("deadlock at cycle {}", last),
                 fmt::format("{} PE{} wait{}, {}", waiting, waiting == 1 ? "" : "s", waiting == 1 ? "s" : "",
                             Search(grid_).chain(static_cast<int>(first))),
                 "nothing can ever move again", ""});
}

}  // namespace wb::fabric
