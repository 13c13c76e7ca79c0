#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "models/fabric/node.hpp"

namespace wb::fabric {

/// One colour in one router: its input queue of two wavelets and its switch.
struct Lane {
    Switch route;
    std::uint8_t current = 0, count = 0;
    Wavelet queue[2];

    bool routed() const { return route.positions > 0; }
    const Route& position() const { return route.position[current]; }
    bool accepts(Port from) const { return routed() && count < 2 && position().from == from; }
};

/// All routers of the mesh. In one cycle: decide() looks at the state, apply() changes it.
class Routers {
public:
    Routers(int rows, int columns) : rows_(rows), columns_(columns) {}

    void add(int router, const Switch& s);
    /// Sorted colours that have a route anywhere.
    const std::vector<Colour>& colours() const { return colours_; }
    Lane* lane(int router, Colour c) {
        return lanes_[c].empty() || !lanes_[c][static_cast<std::size_t>(router)].routed()
                   ? nullptr
                   : &lanes_[c][static_cast<std::size_t>(router)];
    }
    /// The router beyond this port, -1 past the edge.
    int neighbour(int router, Port p) const;
    /// Chooses what moves in cycle t; PEs' ports are read through `nodes`.
    void decide(std::uint64_t t, std::vector<std::unique_ptr<Node>>& nodes);
    /// Makes the chosen moves. True if there were any.
    bool apply(std::uint64_t t, std::vector<std::unique_ptr<Node>>& nodes);
    std::uint64_t hops() const { return hops_; }
    const std::vector<std::uint32_t>& link_use() const { return link_use_; }
    /// Throws if a route leads past the edge or to a router that does not take the colour from there.
    void check(const std::vector<std::unique_ptr<Node>>& nodes);

private:
    struct Move {
        int router;
        Colour colour;
    };
    bool can_move(int router, Colour c, std::uint8_t busy, Node& node);

    int rows_, columns_;
    std::vector<Lane> lanes_[256];
    std::vector<Colour> colours_;
    std::vector<Move> moves_, injections_;
    std::vector<std::uint32_t> link_use_;
    std::uint64_t hops_ = 0;
};

}  // namespace wb::fabric
