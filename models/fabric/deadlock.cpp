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
    Search(std::vector<std::unique_ptr<Node>>& nodes, Routers& routers) : nodes_(nodes), routers_(routers) {}

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

    Node& node(int i) { return *nodes_[static_cast<std::size_t>(i)]; }

    Waiter pe(int place) {
        Node& n = node(place);
        return {place, std::nullopt, n.finished() ? "has finished" : n.waiting()};
    }

    Waiter router(int place, Colour c) {
        const Lane* l = routers_.lane(place, c);
        const char* state = l == nullptr   ? "has no route for colour {}"
                            : l->count > 0 ? "holds colour {}"
                                           : "lacks colour {}";
        return {place, c, fmt::format(fmt::runtime(state), c)};
    }

    std::optional<Waiter> next(const Waiter& w) {
        if (w.router_colour) return next_of_router(w.place, *w.router_colour);
        Node& n = node(w.place);
        if (n.finished()) return std::nullopt;
        if (const auto c = n.colour_lacking()) return router(w.place, *c);
        if (const auto c = n.colour_blocked()) return router(w.place, *c);
        return std::nullopt;
    }

    /// A full router waits for where it sends; an empty one for where it takes from.
    std::optional<Waiter> next_of_router(int place, Colour c) {
        const Lane* l = routers_.lane(place, c);
        if (l == nullptr) return std::nullopt;
        const Route& route = l->position();
        if (l->count == 0) {
            if (route.from == Port::ramp) return pe(place);
            const int from = routers_.neighbour(place, route.from);
            return from < 0 ? std::nullopt : std::optional(router(from, c));
        }
        for (const Port p : {Port::north, Port::east, Port::south, Port::west}) {
            if (!route.to.has(p)) continue;
            const int beyond = routers_.neighbour(place, p);
            if (!routers_.lane(beyond, c)->accepts(opposite(p))) return router(beyond, c);
        }
        return pe(place);
    }

    std::vector<std::unique_ptr<Node>>& nodes_;
    Routers& routers_;
};

}  // namespace

void Engine::report_deadlock() {
    std::size_t waiting = 0, first = 0;
    for (std::size_t i = nodes_.size(); i-- > 0;)
        if (!nodes_[i]->finished()) {
            ++waiting;
            first = i;
        }
    throw Error({fmt::format("deadlock at cycle {}", machine_.now),
                 fmt::format("{} PE{} wait{}, {}", waiting, waiting == 1 ? "" : "s", waiting == 1 ? "s" : "",
                             Search(nodes_, routers_).chain(static_cast<int>(first))),
                 "nothing can ever move again", ""});
}

}  // namespace wb::fabric
