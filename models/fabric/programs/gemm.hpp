#pragma once

#include <vector>

#include "models/fabric/programs/tiles.hpp"
#include "models/fabric/simulator.hpp"

namespace wb::fabric {

/// What one PE holds of a product C = A B, all tiles column-major (B of `transposed` row-major). The shifting
/// algorithms exchange a tile and its spare as they go: afterwards `c` is where the result is.
struct GemmTiles {
    Vec a, b, c;
    Vec spare_a, spare_b, spare_c;
};

/// Colours it takes, first, first + 1, ...
int gemm_colours(const GemmPlan& plan);
/// SRAM for all of it; throws if it does not fit.
GemmTiles alloc_gemm(Pe& pe, const GemmPlan& plan);
/// Before the program's first co_await.
void route_gemm(Pe& pe, const GemmPlan& plan, Colour first);
/// The product, to be awaited by all PEs of the mesh. The plan must outlive it.
Process gemm(Pe& pe, const GemmPlan& plan, GemmTiles& tiles, Colour first);

/// The parts of whole matrices this PE starts with, in the distribution of the plan; and what it has of C afterwards.
void load_gemm(Pe& pe, const GemmPlan& plan, const GemmTiles& tiles, const HostMatrix& a, const HostMatrix& b);
void unload_gemm(Pe& pe, const GemmPlan& plan, const GemmTiles& tiles, std::span<float> c);

/// One product as a program of its own: `run` a simulator with it, then ask for the result.
class GemmProgram {
public:
    /// Row-major operands, for data mode; they must outlive the run.
    explicit GemmProgram(const GemmPlan& plan, std::span<const float> a = {}, std::span<const float> b = {});

    Program program();
    /// C, row-major m x n.
    std::vector<float> result(Simulator& simulator) const;

private:
    Process run(Pe& pe);

    GemmPlan plan_;
    HostMatrix a_, b_;
    std::vector<GemmTiles> tiles_;  // of each PE
};

// The algorithms, for gemm() to choose from.
Process summa(Pe& pe, const GemmPlan& plan, GemmTiles& tiles, Colour first);
Process allgather_gemm(Pe& pe, const GemmPlan& plan, GemmTiles& tiles, Colour first);
Process shifting_gemm(Pe& pe, const GemmPlan& plan, GemmTiles& tiles, Colour first);
Process transposed_gemm(Pe& pe, const GemmPlan& plan, GemmTiles& tiles, Colour first);

/// Useful FMA of this PE's product with panel `block` of k.
double useful_fma(const Pe& pe, const GemmPlan& plan, std::int64_t block);

}  // namespace wb::fabric
