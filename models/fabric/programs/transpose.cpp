#include "models/fabric/programs/transpose.hpp"

#include "core/error.hpp"

namespace wb::fabric {

namespace {

/// out = tile^T within the PE: one strided copy for each row.
Instruction transpose_tile(Pe& pe, Vec out, Vec tile, std::int64_t rows, std::int64_t columns) {
    const Work work{static_cast<double>(rows), static_cast<double>(columns), pe.element_cycles(tile.type), 0};
    return pe.compute(work, [&pe, out, tile, rows, columns] {
        for (std::int64_t i = 0; i < rows; ++i)
            for (std::int64_t j = 0; j < columns; ++j)
                pe.set(out, static_cast<std::size_t>(i * columns + j),
                       pe.get(tile, static_cast<std::size_t>(j * rows + i)));
    });
}

/// A PE off the diagonal sends towards it first, then passes on what its neighbour behind sends.
void route_sender(Pe& pe, Colour colour, Port to_diagonal, bool last) {
    if (last)
        pe.route(colour, Port::ramp, to_diagonal);
    else
        pe.route(colour, {Route{Port::ramp, to_diagonal}, Route{opposite(to_diagonal), to_diagonal}});
}

/// The first tile that comes from the diagonal is this PE's, the others are for those farther on.
void route_receiver(Pe& pe, Colour colour, Port to_diagonal, bool last) {
    if (last)
        pe.route(colour, to_diagonal, Port::ramp);
    else
        pe.route(colour, {Route{to_diagonal, Port::ramp}, Route{to_diagonal, opposite(to_diagonal)}});
}

}  // namespace

void route_transpose(Pe& pe, Colour first) {
    if (pe.rows != pe.columns) throw Error({"transpose", "wants a square mesh", "tile (r, c) goes to PE (c, r)", ""});
    const Colour upper = first, lower = static_cast<Colour>(first + 1);  // by where a tile comes from
    const int end = pe.rows - 1;
    if (pe.column > pe.row) {
        route_sender(pe, upper, Port::west, pe.column == end);
        route_receiver(pe, lower, Port::south, pe.row == 0);
    } else if (pe.column < pe.row) {
        route_sender(pe, lower, Port::east, pe.column == 0);
        route_receiver(pe, upper, Port::north, pe.row == end);
    } else {
        if (pe.row < end) pe.route(upper, Port::east, Port::south);
        if (pe.row > 0) pe.route(lower, Port::west, Port::north);
    }
}

Process transpose(Pe& pe, Vec tile, Vec out, Vec scratch, std::int64_t rows, std::int64_t columns, Colour first) {
    const bool diagonal = pe.row == pe.column, upper = pe.column > pe.row;
    co_await transpose_tile(pe, diagonal ? out : scratch, tile, rows, columns);
    if (diagonal) co_return;
    const Colour mine = static_cast<Colour>(upper ? first : first + 1),
                 other = static_cast<Colour>(upper ? first + 1 : first);
    const Handle sent = pe.start(pe.send(mine, scratch, true));
    const Handle received = pe.start(pe.recv(other, out));
    co_await sent;
    co_await received;
}

}  // namespace wb::fabric
