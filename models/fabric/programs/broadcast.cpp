#include "models/fabric/programs/collectives.hpp"

namespace wb::fabric {

void route_broadcast(Pe& pe, Line line, Colour colour) {
    if (line.count == 1) return;
    if (line.first())
        pe.route(colour, Port::ramp, line.next);
    else if (line.last())
        pe.route(colour, line.previous, Port::ramp);
    else
        pe.route(colour, line.previous, Port::ramp | line.next);
}

Process broadcast(Pe& pe, Line line, Vec values, Colour colour) {
    if (line.count == 1) co_return;
    if (line.first())
        co_await pe.send(colour, values);
    else
        co_await pe.recv(colour, values);
}

void route_broadcast_2d(Pe& pe, Colour colour) {
    if (pe.rows * pe.columns == 1) return;
    const bool root = pe.row == 0 && pe.column == 0;
    Ports to;
    if (!root) to = to | Port::ramp;
    if (pe.row == 0 && pe.column + 1 < pe.columns) to = to | Port::east;
    if (pe.row + 1 < pe.rows) to = to | Port::south;
    pe.route(colour, root ? Port::ramp : pe.row == 0 ? Port::west : Port::north, to);
}

Process broadcast_2d(Pe& pe, Vec values, Colour colour) {
    if (pe.rows * pe.columns == 1) co_return;
    if (pe.row == 0 && pe.column == 0)
        co_await pe.send(colour, values);
    else
        co_await pe.recv(colour, values);
}

}  // namespace wb::fabric
