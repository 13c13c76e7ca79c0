#include "models/fabric/grid.hpp"

#include <fmt/format.h>

#include <bit>

namespace wb::fabric {

Grid::Grid(const Machine& machine, int rows, int columns)
    : rows_(rows), columns_(columns), nodes_(std::make_unique<Node[]>(nodes())) {
    const auto per_row = static_cast<std::size_t>((columns + lanes - 1) / lanes);
    words_ = std::vector<Word>(per_row * static_cast<std::size_t>(rows));
    for (auto& a : awake_) a.resize(words_.size());
    arriving_.resize(words_.size());
    for (std::size_t i = 0; i < words_.size(); ++i) {
        Word& w = words_[i];
        w.index = i;
        const std::size_t row = i / per_row, place = i % per_row;
        w.nodes = &node(static_cast<int>(row), static_cast<int>(place) * lanes);
        if (row > 0) w.beyond[0] = &words_[i - per_row];
        if (place + 1 < per_row) w.beyond[1] = &words_[i + 1];
        if (row + 1 < static_cast<std::size_t>(rows)) w.beyond[2] = &words_[i + per_row];
        if (place > 0) w.beyond[3] = &words_[i - 1];
        if (machine.data) w.memory = std::make_unique<std::byte*[]>(lanes);
    }
}

namespace {

/// What the neighbours beyond port p, seen from the lanes of b, take of this colour in any position.
Plane taken_beyond(const Block& b, Port p) {
    const int side = static_cast<int>(p), facing = (side + 2) % 4;
    const Plane other = b.beyond[side] != nullptr ? b.beyond[side]->any_from[facing] : 0;
    if (p == Port::east) return from_east(b.any_from[facing], other);
    if (p == Port::west) return from_west(b.any_from[facing], other);
    return other;
}

}  // namespace

void Grid::check(const Word& w, Colour c) const {
    const Block& b = *w.find(c);
    for (const Port p : {Port::north, Port::east, Port::south, Port::west}) {
        const Plane lost = b.any_to[static_cast<int>(p)] & ~taken_beyond(b, p);
        if (lost == 0) continue;
        const Node& n = w.nodes[first_lane(lost)];
        const bool edge = (p == Port::north && n.pe().row == 0) || (p == Port::west && n.pe().column == 0) ||
                          (p == Port::south && n.pe().row + 1 == n.pe().rows) ||
                          (p == Port::east && n.pe().column + 1 == n.pe().columns);
        n.fail(fmt::format("route to nowhere: colour {} goes {}", c, name(p)),
               edge ? "that is off the mesh"
                    : fmt::format("the router there takes none of it from the {}", name(opposite(p))),
               "Route it on, or end it at the ramp.");
    }
}

void Grid::check_routes() {
    std::uint32_t used = 0;
    for (Word& w : words_)
        for (int c = 0; c < most_colours; ++c) {
            const auto colour = static_cast<Colour>(c);
            if (w.find(colour) == nullptr || !w.find(colour)->routed) continue;
            used |= 1U << c;
            w.link(colour);
            check(w, colour);
        }
    for (; used != 0; used &= used - 1) colours_.push_back(static_cast<Colour>(std::countr_zero(used)));
}

std::size_t Grid::fabric_bytes() const {
    std::size_t sum = 0;
    for (const Word& w : words_) sum += w.bytes();
    return sum;
}

std::size_t Grid::router_colours() const {
    std::size_t sum = 0;
    for (const Word& w : words_)
        for (int c = 0; c < most_colours; ++c)
            if (const Block* b = w.find(static_cast<Colour>(c))) {
                Plane routed = 0;
                for (const Plane p : b->any_from) routed |= p;
                sum += static_cast<std::size_t>(std::popcount(routed));
            }
    return sum;
}

}  // namespace wb::fabric
