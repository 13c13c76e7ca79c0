#include "models/stencil_laws.hpp"

#include <algorithm>
#include <cmath>

#include "models/vector_laws.hpp"

namespace wb {
namespace {

double wavelets(const StencilShape& s) {
    const int each = elements_per_wavelet(s.type);
    return static_cast<double>((s.depth + each - 1) / each);
}

/// `count` vector instructions over a column of points.
double columns(const Mesh& mesh, const StencilShape& s, double count, double element_cycles) {
    return count * (mesh.vector_start_cycles + static_cast<double>(s.depth) * element_cycles);
}

/// Neighbours of the PE that has most: the ways in which the mesh is wide enough.
double neighbours(const StencilShape& s, int distance) {
    const auto side = [distance](int n) { return n > 2 * distance ? 2 : n > distance ? 1 : 0; };
    return side(s.rows) + side(s.columns);
}

}  // namespace

double stencil7_cycles(const Mesh& mesh, const StencilShape& s) {
    // Arrivals and local products share the datapath; the ramp brings one wavelet a cycle.
    return mesh.microthread_start_cycles + mesh.vector_start_cycles + 2 * mesh.ramp_cycles + 2 +
           neighbours(s, 1) * wavelets(s) + columns(mesh, s, 3, element_cycles(mesh, s.type));
}

double stencil25_cycles(const Mesh& mesh, const StencilShape& s) {
    double cycles = 0, instructions = 9;  // of the round in which the first columns travel: the centre and 8 along z
    for (int distance = 1; distance <= 4; ++distance) {
        const double exchange = mesh.microthread_start_cycles + mesh.vector_start_cycles + 2 * mesh.ramp_cycles + 2 +
                                neighbours(s, 1) * wavelets(s);
        cycles += std::max(exchange, columns(mesh, s, instructions, element_cycles(mesh, s.type)));
        instructions = neighbours(s, 1);
    }
    return cycles + columns(mesh, s, instructions + 2, element_cycles(mesh, s.type));
}

double scalar_allreduce_cycles(const Mesh& mesh, int rows, int columns) {
    const double half_row = std::ceil(columns / 2.0), half_column = std::ceil(rows / 2.0);
    const double message = mesh.vector_start_cycles + 2 * mesh.ramp_cycles + 1;
    return 2 * (half_row + half_column) + 3 * message;
}

double bicgstab_iteration_cycles(const Mesh& mesh, const StencilShape& s) {
    return 2 * stencil7_cycles(mesh, s) +
           4 * (columns(mesh, s, 1, mixed_element_cycles(mesh, s.type)) +
                scalar_allreduce_cycles(mesh, s.rows, s.columns)) +
           6 * columns(mesh, s, 1, element_cycles(mesh, s.type));
}

double fft3d_cycles(const Mesh& mesh, std::int64_t n, DType type) {
    const double points = static_cast<double>(n), levels = std::log2(points);
    // A butterfly of two complex points: a product by the twiddle (4 multiply-adds), two complex sums (4 sums); each
    // level in 8 instructions of n / 2.
    const double butterflies = 3 * levels * 8 * (mesh.vector_start_cycles + points / 2 * element_cycles(mesh, type));
    // Half of the PEs of a line send half of their n points over its middle link, n / 2 x n / 2 points of two numbers.
    const double transpositions = 2 * (points / 2) * (points / 2) * 2 / elements_per_wavelet(type);
    return butterflies + transpositions;
}

}  // namespace wb
