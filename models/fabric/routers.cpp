#include "models/fabric/routers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "core/error.hpp"

namespace wb::fabric {

namespace {

constexpr Port all_ports[] = {Port::north, Port::east, Port::south, Port::west, Port::ramp};

}  // namespace

int Routers::neighbour(int router, Port p) const {
    const int row = router / columns_, column = router % columns_;
    switch (p) {
        case Port::north: return row > 0 ? router - columns_ : -1;
        case Port::east: return column + 1 < columns_ ? router + 1 : -1;
        case Port::south: return row + 1 < rows_ ? router + columns_ : -1;
        case Port::west: return column > 0 ? router - 1 : -1;
        case Port::ramp: break;
    }
    return -1;
}

void Routers::add(int router, const Switch& s) {
    std::vector<Lane>& of_colour = lanes_[s.colour];
    if (of_colour.empty()) {
        of_colour.resize(static_cast<std::size_t>(rows_) * static_cast<std::size_t>(columns_));
        colours_.insert(std::lower_bound(colours_.begin(), colours_.end(), s.colour), s.colour);
    }
    of_colour[static_cast<std::size_t>(router)].route = s;
    link_use_.resize(static_cast<std::size_t>(rows_) * static_cast<std::size_t>(columns_) * port_count);
}

void Routers::check(const std::vector<std::unique_ptr<Node>>& nodes) {
    for (int r = 0; r < rows_ * columns_; ++r)
        for (const Switch& s : nodes[static_cast<std::size_t>(r)]->switches())
            for (int i = 0; i < s.positions; ++i)
                for (const Port p : all_ports) {
                    if (p == Port::ramp || !s.position[i].to.has(p)) continue;
                    const int beyond = neighbour(r, p);
                    const Lane* next = beyond < 0 ? nullptr : lane(beyond, s.colour);
                    bool taken = false;
                    for (int k = 0; next != nullptr && k < next->route.positions; ++k)
                        taken = taken || next->route.position[k].from == opposite(p);
                    if (!taken)
                        nodes[static_cast<std::size_t>(r)]->fail(
                            fmt::format("route to nowhere: colour {} goes {}", s.colour, name(p)),
                            beyond < 0
                                ? "that is off the mesh"
                                : fmt::format("the router there takes none of it from the {}", name(opposite(p))),
                            "Route it on, or end it at the ramp.");
                }
}

bool Routers::can_move(int router, Colour c, std::uint8_t busy, Node& node) {
    const Lane* l = lane(router, c);
    if (l == nullptr || l->count == 0) return false;
    const Ports to = l->position().to;
    if ((to.bits & busy) != 0) return false;
    for (const Port p : all_ports) {
        if (!to.has(p)) continue;
        if (p == Port::ramp) {
            const RampPort* in = node.in_port(c);
            if (in != nullptr && !in->room()) return false;
        } else if (!lane(neighbour(router, p), c)->accepts(opposite(p))) {
            return false;
        }
    }
    return true;
}

void Routers::decide(std::uint64_t t, std::vector<std::unique_ptr<Node>>& nodes) {
    moves_.clear();
    injections_.clear();
    const std::size_t n = colours_.size();
    for (int r = 0; r < rows_ * columns_; ++r) {
        Node& node = *nodes[static_cast<std::size_t>(r)];
        std::uint8_t busy = 0;
        for (std::size_t k = 0; k < n; ++k) {
            const Colour c = colours_[(t + k) % n];
            if (!can_move(r, c, busy, node)) continue;
            busy = static_cast<std::uint8_t>(busy | lane(r, c)->position().to.bits);
            moves_.push_back({r, c});
        }
        for (const RampPort& out : node.out_ports()) {
            const Lane* l = out.ready(t) ? lane(r, out.colour) : nullptr;
            if (l != nullptr && l->accepts(Port::ramp)) injections_.push_back({r, out.colour});
        }
    }
}

bool Routers::apply(std::uint64_t t, std::vector<std::unique_ptr<Node>>& nodes) {
    struct Arrival {
        Lane* lane;
        Wavelet wavelet;
    };
    std::vector<Arrival> arrivals;
    for (const Move m : moves_) {
        Lane& l = *lane(m.router, m.colour);
        Node& node = *nodes[static_cast<std::size_t>(m.router)];
        const Wavelet w = l.queue[0];
        for (const Port p : all_ports) {
            if (!l.position().to.has(p)) continue;
            ++link_use_[static_cast<std::size_t>(m.router) * port_count + static_cast<std::size_t>(p)];
            if (p == Port::ramp) {
                node.open_in_port(m.colour);
                node.in_port(m.colour)->push(w, t + static_cast<std::uint64_t>(node.machine().mesh.ramp_cycles));
            } else {
                arrivals.push_back({lane(neighbour(m.router, p), m.colour), w});
                ++hops_;
            }
        }
        l.queue[0] = l.queue[1];
        --l.count;
        if (!w.control) continue;
        if (l.current + 1 < l.route.positions)
            ++l.current;
        else if (l.route.ring)
            l.current = 0;
    }
    for (const Move m : injections_)
        arrivals.push_back(
            {lane(m.router, m.colour), nodes[static_cast<std::size_t>(m.router)]->out_port(m.colour)->pop()});
    for (const Arrival& a : arrivals) a.lane->queue[a.lane->count++] = a.wavelet;
    return !moves_.empty() || !injections_.empty();
}

}  // namespace wb::fabric
