#pragma once

#include <cstdint>
#include <string_view>

#include "core/dtype.hpp"
#include "models/mesh.hpp"

namespace wb {

/// Matrix products over a mesh, all operands dealt over the PEs in tiles.
enum class GemmAlgorithm : std::uint8_t {
    summa,        ///< per step, a panel of A along the rows and one of B along the columns, then the tiles' product
    cannon,       ///< both operands shift by one PE a step; the ends of a line are joined over its whole length
    interleaved,  ///< as Cannon, in a ring whose neighbours are two hops apart: MeshGEMM of He et al., OSDI 2025
    allgather,    ///< all panels first, then one product
    transposed    ///< C = A B^T: B shifts along the columns, sums along the rows (QK^T); MeshGEMM's ring
};
std::string_view name(GemmAlgorithm algorithm);

/// One product C[m, n] = A[m, k] B[k, n] (`transposed`: B[n, k]) on rows x columns PEs. What does not divide is padded
/// with zeros. Shared by the programs of models/fabric and the closed forms below.
struct GemmPlan {
    GemmAlgorithm algorithm = GemmAlgorithm::summa;
    std::int64_t m = 1, k = 1, n = 1;
    DType type = DType::f32;  ///< f32 or a 16-bit type
    int rows = 1, columns = 1;
    /// Operands already lie where the first step of a shifting algorithm needs them, and the result of `transposed`
    /// stays where its sums end. Else tiles travel up to half a ring before (after) the steps.
    bool aligned = false;

    /// Throws Error if the algorithm cannot run on this mesh, or a size is not positive.
    void check() const;
    /// Shift steps or panels: the side of the mesh, or the least common multiple of both.
    std::int64_t steps() const;
    std::int64_t tile_m() const, tile_n() const;  ///< of C, of one PE
    std::int64_t panel() const;                   ///< k of one step's product
    std::int64_t a_tile() const, b_tile() const;  ///< elements a PE holds of the operands
    std::int64_t sram_bytes() const;              ///< of one PE, all buffers
    double padded_fma() const;                    ///< executed on padding, over all PEs; the useful ones are m k n
};

/// Cycles from the first instruction to the last PE's end. Start costs, bank conflicts and padding included.
double gemm_cycles(const Mesh& mesh, const GemmPlan& plan);

/// What `gemm_cycles` consists of, for the PE that ends last.
struct GemmCycles {
    double compute = 0;  ///< of the datapath
    double exposed = 0;  ///< waiting for tiles, and the latency of the first and last
    double tasks = 0;    ///< starting tasks
    double align = 0;
    double sum() const { return compute + exposed + tasks + align; }
};
GemmCycles gemm_parts(const Mesh& mesh, const GemmPlan& plan);

/// Tasks of one step. SUMMA: the step, one of the broadcast library in each direction, the arrival of each panel, the
/// product (csl-examples, gemm-collectives_2d). Shifting: the step and the arrival of each tile.
inline constexpr int summa_tasks = 6, shift_tasks = 3;

/// Tile (r, c) of rows x columns elements to PE (c, r) of a square mesh, through the diagonal.
double transpose_cycles(const Mesh& mesh, int side, std::int64_t rows, std::int64_t columns, DType type);

/// y[n] = x[k] W[k, n]: W in tiles, x dealt over the mesh rows, y summed along the columns from both ends to the middle
/// row. With `everywhere` each PE of a column has its part of y in the end.
struct GemvPlan {
    enum class Sum : std::uint8_t { pipeline, two_level };
    std::int64_t k = 1, n = 1;
    DType type = DType::f32;
    int rows = 1, columns = 1;
    Sum sum = Sum::two_level;  ///< a chain; groups of about the square root, the K-tree with K = 2
    bool everywhere = true;

    std::int64_t tile_k() const, tile_n() const;
    std::int64_t sram_bytes() const;
};
double gemv_cycles(const Mesh& mesh, const GemvPlan& plan);
/// The fastest rectangle and way of summing that fit the wafer and its SRAM. Throws Error if none does.
GemvPlan best_gemv(const Mesh& mesh, std::int64_t k, std::int64_t n, DType type, bool everywhere = true);

/// One PE, y[m] += A[m, n] x[n] as a single vector instruction over a two-dimensional descriptor: columns padded to
/// half a line of banks stream at the datapath's rate, a cycle more to change column, no bank conflicts.
double streamed_gemv_cycles(const Mesh& mesh, DType type, std::int64_t m, std::int64_t n);

}  // namespace wb
