#pragma once

#include "models/fabric/program.hpp"

namespace wb::fabric {

/// PEs in a path over the mesh, as one of them sees it: its place, and which of its ports lead to its neighbours. The
/// ports past either end are never used.
struct Line {
    int index = 0, count = 1;
    Port previous = Port::west;  ///< to index - 1
    Port next = Port::east;      ///< to index + 1

    bool first() const { return index == 0; }
    bool last() const { return index + 1 == count; }
    /// PEs first .. first + n - 1 of it; this PE must be one of them.
    Line part(int from, int n) const;
    /// The same PEs numbered from the other end.
    Line reversed() const { return {count - 1 - index, count, next, previous}; }
};

/// All PEs of this PE's row, from west to east.
Line row_line(const Pe& pe);
/// All PEs of this PE's column, from north to south.
Line column_line(const Pe& pe);
/// All PEs of the mesh: row 0 eastwards, row 1 westwards, row 2 eastwards, ...
Line snake_line(const Pe& pe);

}  // namespace wb::fabric
