#pragma once

#include "models/fabric/program.hpp"

namespace wb::fabric {

/// Tile (r, c) of a matrix on a square mesh, rows x columns elements column-major, becomes tile (c, r) of its
/// transpose, also column-major, in `out`. `scratch` is of the same size. A tile goes along its row to the diagonal,
/// turns there and goes along the column; routers hand on the nearest tile first. Two colours.
inline constexpr int transpose_colours = 2;
void route_transpose(Pe& pe, Colour first);
Process transpose(Pe& pe, Vec tile, Vec out, Vec scratch, std::int64_t rows, std::int64_t columns, Colour first);

}  // namespace wb::fabric
