#pragma once

#include <cstdint>
#include <vector>

#include "models/fabric/route.hpp"

namespace wb::fabric {

/// What does not work on a mesh. A dead PE runs no program; its router still passes wavelets on. A dead link carries
/// nothing in either direction.
struct YieldMap {
    struct Place {
        int row = 0, column = 0;
    };
    struct Link {
        int row = 0, column = 0;
        Port port = Port::east;  ///< of that router
    };

    int rows = 0, columns = 0;  ///< of the mesh with its spare rows and columns
    std::vector<Place> pes;
    std::vector<Link> links;

    /// Each PE and each link dies with these probabilities; the same map for the same seed on any machine.
    static YieldMap random(int rows, int columns, double pe_rate, double link_rate, std::uint64_t seed);
};

/// Which rows and columns of the mesh those of the program are, ascending.
struct Placement {
    std::vector<int> rows, columns;
};

/// Leaves out rows and columns until the rest holds no defect: a dead link takes its row (or column) away, a dead PE
/// either. Throws Error if fewer than rows x columns are left, or a defect lies outside the map.
Placement place(const YieldMap& map, int rows, int columns);

}  // namespace wb::fabric
