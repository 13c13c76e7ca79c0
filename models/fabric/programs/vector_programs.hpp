#pragma once

#include "core/op.hpp"
#include "models/fabric/programs/tile.hpp"

namespace wb::fabric {

/// One vector op on a matrix spread over the whole mesh: rows over mesh rows, columns over mesh columns (rope: pairs of
/// features that turn together, then those that do not turn). Results and elements follow the reference operators; sums
/// are made in f32.
struct VectorCall {
    VectorOp op = VectorOp::add;
    std::int64_t rows = 1, columns = 1;
    Type type = Type::f32;
    Attributes a;  ///< eps of the norms; heads, rotary_dim, rotary_offset, theta, offset, seq, inverse, interleaved
    Load x;        ///< the matrix
    Load y;        ///< add, silu_mul: the second matrix; norms: gamma, as row 0
    Load beta;     ///< layernorm: as row 0
    Store out;
};

/// The program for a mesh of this many columns. Colours 0 to 3.
Program vector_program(VectorCall call, const Mesh& mesh, int mesh_rows, int mesh_columns);

/// Useful FLOPs of the op, as the graph counts them.
double vector_flops(const VectorCall& call);

}  // namespace wb::fabric
