#pragma once

#include <cstdint>

#include "core/dtype.hpp"
#include "models/mesh.hpp"

namespace wb {

/// Steps on a grid of points (columns, rows, depth): one column of `depth` points on each PE of the mesh.
struct StencilShape {
    int rows = 1, columns = 1;
    std::int64_t depth = 1;
    DType type = DType::f32;  ///< of the points and coefficients
    DType sums = DType::f32;  ///< of what is added up
};

/// y = A x for a 7-point operator with a coefficient of its own for every point and neighbour, as in Rocki et al., SC
/// 2020: the neighbours' columns are multiplied and added as they arrive. FLOPs a point: 7 products, 6 sums.
inline constexpr double stencil7_flops = 13;
double stencil7_cycles(const Mesh& mesh, const StencilShape& shape);

/// One time step of the wave equation with a 25-point star of radius 4, as in Jacquelin et al., SC 2022: the columns
/// pass from PE to PE in four rounds, while those of the round before are worked on. FLOPs a point: 1 + 2 x 24 for the
/// star, 2 + 2 for the step in time.
inline constexpr double stencil25_flops = 53;
double stencil25_cycles(const Mesh& mesh, const StencilShape& shape);

/// Cycles until every PE of the mesh has the sum of one f32 of each: all of a row stream to its middle, then the sums
/// of the middle column to its middle (contention of half a side each), and a broadcast back.
double scalar_allreduce_cycles(const Mesh& mesh, int rows, int columns);

/// One iteration of BiCGStab: two products with the 7-point operator, four dot products (products in `type`, added in
/// f32) with their reductions over the mesh, six vector updates. FLOPs a point with a unit diagonal, as Rocki et al.
/// count: 44.
inline constexpr double bicgstab_flops = 44;
double bicgstab_iteration_cycles(const Mesh& mesh, const StencilShape& shape);

/// A 3-D FFT of n^3 complex points on n x n PEs, a line of n points on each: three times log2(n) levels of butterflies,
/// in between two transpositions. Routes are static and address nobody, so all points of a row or column of PEs pass
/// all of it, both ways, and each PE takes its own: the middle link carries half of them. If every point went straight
/// to its PE, it would be half of that (fft3d_least_cycles).
double fft3d_cycles(const Mesh& mesh, std::int64_t n, DType type);
double fft3d_least_cycles(const Mesh& mesh, std::int64_t n, DType type);

}  // namespace wb
