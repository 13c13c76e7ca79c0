#pragma once

#include <cstdint>

#include "models/wafer/machine.hpp"

namespace wb::wafer {

/// Cycles of one kernel on a rectangle, by what they are spent on, and the bytes its PEs hand to their routers.
struct Cost {
    double compute = 0;   ///< multiply-adds and vector work, starts of vector instructions included
    double fabric = 0;    ///< waiting for data that crosses the mesh
    double dispatch = 0;  ///< starting the op
    double bytes = 0;
    double cycles() const { return compute + fabric + dispatch; }
};
Cost operator+(Cost a, const Cost& b);
Cost operator*(Cost a, double times);

/// Elements of `n` that the fullest of `parts` parts holds.
inline double share(double n, int parts) {
    return n <= 0 ? 0 : static_cast<double>((static_cast<std::int64_t>(n) + parts - 1) / parts);
}

/// Sum or maximum over the `pes` PEs of a row or column, `elements` on each, by a tree of two levels with about
/// sqrt(pes) software stages (K-tree with K = 2, He et al., OSDI 2025; two-phase reduce of Luczynski et al., HPDC 2024)
/// to the middle; with `everywhere` the result is multicast back. Payload crosses each level once, pipelined.
Cost reduce(const Machine& m, double elements, DType type, int pes, bool everywhere);

/// y[n] = x[k] W[k, n], W dealt over the rectangle in tiles: a multiply-add per input element and row of the tile, then
/// a reduction along the rows' axis. `rows` independent vectors share the weights.
Cost gemv(const Machine& m, double rows, double k, double n, DType type, Grid grid, bool everywhere);

/// C[m, n] = A[m, k] B[k, n], all dealt in tiles: as many compute-shift steps as the longer side has PEs, neighbours
/// two hops away (MeshGEMM, He et al., OSDI 2025). A step takes its start, the words of the two tiles that arrive, and
/// the multiply-adds on them.
Cost gemm(const Machine& m, double rows, double k, double n, DType type, Grid grid);

/// Bytes of the fullest PE for each: operands, result and the tiles in flight.
double gemv_bytes(double rows, double k, double n, DType type, Grid grid);
double gemm_bytes(double rows, double k, double n, DType type, Grid grid);

}  // namespace wb::wafer
