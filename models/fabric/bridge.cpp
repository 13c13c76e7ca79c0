// Passing through rows and columns that a yield map leaves out.

#include <fmt/format.h>

#include <cstdlib>

#include "models/fabric/grid.hpp"

namespace wb::fabric {

namespace {

bool sends(const Block* b, int lane, Port p) {
    return b != nullptr && (b->any_to[static_cast<int>(p)] >> lane & 1U) != 0;
}
bool takes(const Block* b, int lane, Port p) {
    return b != nullptr && (b->any_from[static_cast<int>(p)] >> lane & 1U) != 0;
}

}  // namespace

/// `to` lies beyond the left out routers on the `along` side of `from`.
void Grid::bridge(Node& from, Node& to, Port along) {
    const Port back = opposite(along);
    const int down = along == Port::south ? 1 : 0, right = 1 - down;
    for (int k = 0; k < most_colours; ++k) {
        const auto c = static_cast<Colour>(k);
        const Block *a = word(from.row(), from.column()).find(c), *b = word(to.row(), to.column()).find(c);
        const bool there = sends(a, from.lane(), along) && takes(b, to.lane(), back);
        const bool here = sends(b, to.lane(), back) && takes(a, from.lane(), along);
        if (!there && !here) continue;
        if (there && here)
            from.fail(fmt::format("colour {} goes both ways between it and {}", c, to.place()),
                      "the routers left out between them have one route for a colour", "Use a colour for each way.");
        Switch s;
        s.positions = 1;
        s.position[0] = there ? Route{back, along} : Route{along, back};
        for (int r = from.row() + down, q = from.column() + right; r != to.row() || q != to.column();
             r += down, q += right)
            node(r, q).bypass(c, s);
    }
}

void Grid::bridge(const Placement& p) {
    for (std::size_t i = 0; i < p.rows.size(); ++i)
        for (std::size_t j = 0; j < p.columns.size(); ++j) {
            Node& here = node(p.rows[i], p.columns[j]);
            if (i + 1 < p.rows.size() && p.rows[i + 1] > p.rows[i] + 1)
                bridge(here, node(p.rows[i + 1], p.columns[j]), Port::south);
            if (j + 1 < p.columns.size() && p.columns[j + 1] > p.columns[j] + 1)
                bridge(here, node(p.rows[i], p.columns[j + 1]), Port::east);
        }
}

}  // namespace wb::fabric
