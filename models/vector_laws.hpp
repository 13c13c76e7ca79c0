#pragma once

#include <cstdint>

#include "core/dtype.hpp"
#include "models/mesh.hpp"

namespace wb {

/// A matrix of rows x columns elements dealt in tiles over a mesh: the PE at (r, c) holds the part r of the rows and
/// the part c of the columns, of ceil(rows / mesh_rows) x ceil(columns / mesh_columns) elements at most.
struct Spread {
    std::int64_t rows = 1, columns = 1;
    int mesh_rows = 1, mesh_columns = 1;
    DType type = DType::f32;

    std::int64_t tile_rows() const { return (rows + mesh_rows - 1) / mesh_rows; }
    std::int64_t tile_columns() const { return (columns + mesh_columns - 1) / mesh_columns; }
    /// Where columns are dealt in pairs, as for rope.
    std::int64_t paired_tile_columns() const { return 2 * (((columns + 1) / 2 + mesh_columns - 1) / mesh_columns); }
};

/// Vector work on a spread matrix. softmax and the norms work along the columns, which lie on several PEs: their
/// statistics, one f32 for each row of the tile, are reduced along the row of the mesh.
enum class VectorOp : std::uint8_t { add, gelu_tanh, gelu_erf, silu_mul, rope, softmax, layernorm, rmsnorm };

/// Vector instructions over a whole vector that one elementary function takes. Means of computing them with additions
/// and multiplications only:
///  - exp: range reduction to a power of two in 3, a polynomial of degree 5 in 5, the exponent added in 1;
///  - reciprocal: first guess by integer subtraction in 1, three Newton steps of 2;
///  - rsqrt: first guess in 1, three Newton steps of 3.
inline constexpr int exp_passes = 9, reciprocal_passes = 7, rsqrt_passes = 10;

/// How often a vector op passes over the tile with one vector instruction, between its reductions along the row.
struct VectorPasses {
    int sums = 0;        ///< tile passes that accumulate in f32: sums, maxima, sums of squares
    int plain = 0;       ///< other tile passes, in the type of the matrix
    int row = 0;         ///< passes over the row statistics, in f32
    int allreduces = 0;  ///< of the row statistics along the row of the mesh
};
VectorPasses passes(VectorOp op);

/// Cycles of one element of a vector instruction: all in `type`, or read in `type` and accumulated in f32. In mixed
/// precision half as many elements pass in a cycle as in f16 (Rocki et al., SC 2020: two instead of four).
double element_cycles(const Mesh& mesh, DType type);
double mixed_element_cycles(const Mesh& mesh, DType type);

/// Cycles until all PEs of a row of `pes` have the element-wise sum or maximum of their `wavelets`: reduced by a chain
/// or in two phases, whichever is faster, then broadcast (Luczynski et al., HPDC 2024).
struct LineAllreduce {
    bool two_phase = false;
    double cycles = 0;
};
LineAllreduce line_allreduce(const Mesh& mesh, int pes, std::int64_t wavelets);

/// Cycles of one vector op. Throws Error for a type that is neither f32 nor f16.
double vector_op_cycles(const Mesh& mesh, VectorOp op, const Spread& spread);

}  // namespace wb
