#include "models/fabric/programs/line.hpp"

#include "core/error.hpp"

namespace wb::fabric {

Line Line::part(int from, int n) const {
    WB_EXPECT(from >= 0 && n >= 1 && from + n <= count && index >= from && index < from + n);
    return {index - from, n, previous, next};
}

Line row_line(const Pe& pe) { return {pe.column, pe.columns, Port::west, Port::east}; }

Line column_line(const Pe& pe) { return {pe.row, pe.rows, Port::north, Port::south}; }

Line snake_line(const Pe& pe) {
    const bool east = pe.row % 2 == 0;
    const int place = east ? pe.column : pe.columns - 1 - pe.column;
    Line line{pe.row * pe.columns + place, pe.rows * pe.columns, east ? Port::west : Port::east,
              east ? Port::east : Port::west};
    if (place == 0) line.previous = Port::north;
    if (place == pe.columns - 1) line.next = Port::south;
    return line;
}

}  // namespace wb::fabric
