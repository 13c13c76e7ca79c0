#pragma once

#include <array>

#include "models/fabric/programs/tile.hpp"
#include "models/stencil_laws.hpp"

namespace wb::fabric {

/// A value of each point of a grid: called in data mode only, by each PE for its own column of points.
using GridLoad = std::function<float(int row, int column, std::int64_t z)>;
using GridStore = std::function<void(int row, int column, std::int64_t z, float value)>;

/// The neighbours of a point: itself, those north, east, south and west of it, those below and above (z - 1, z + 1).
inline constexpr int stencil7_terms = 7;

/// y = A x on a grid of one column of `depth` points on each PE of the mesh; points outside it are 0.
struct Stencil7Call {
    std::int64_t depth = 1;
    Type type = Type::f32;  ///< of x and of the coefficients
    Type sums = Type::f32;  ///< of y
    GridLoad x;
    std::array<GridLoad, stencil7_terms> coefficient;
    GridStore out;
};
/// Eight colours, two for each direction in turns. A PE sends its column four times, direction by direction, so that
/// its neighbours' ramps take their four one after another: one multicast would wait for the slowest of four ramps each
/// time.
Program stencil7_program(Stencil7Call call);

/// next = 2 now - before + speed (c0 now + sum over the three axes and d = 1 .. 4 of c_d (now at -d + now at +d)), one
/// column of points on each PE; points outside the grid are 0. Sums are made in f32.
struct Stencil25Call {
    std::int64_t depth = 1;
    Type type = Type::f32;
    std::array<float, 5> weight{};  ///< c0 .. c4
    GridLoad now, before, speed;
    GridStore next;
};
/// Eight colours, two for each direction in turns.
Program stencil25_program(Stencil25Call call);

/// Useful FLOPs of one step on the whole grid: neighbours outside it cost nothing.
double stencil7_total_flops(int rows, int columns, std::int64_t depth);
double stencil25_total_flops(int rows, int columns, std::int64_t depth);

}  // namespace wb::fabric
