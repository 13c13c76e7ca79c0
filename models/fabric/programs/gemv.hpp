#pragma once

#include <optional>
#include <vector>

#include "models/fabric/programs/collectives.hpp"
#include "models/fabric/programs/tiles.hpp"
#include "models/fabric/simulator.hpp"

namespace wb::fabric {

/// The sum over a column of the mesh into the PE in its middle: each half reduces towards it, where they meet.
class MiddleReduce {
public:
    static constexpr int colours = 7;

    MiddleReduce(int count, GemvPlan::Sum sum, Colour first);

    void route(Pe& pe) const;
    /// `values` of the middle PE become the sum; with `everywhere` those of all.
    Process run(Pe& pe, Vec values, bool everywhere) const;
    int middle() const { return middle_; }

private:
    Line below(const Pe& pe) const;  ///< middle and after, from the middle
    Line above(const Pe& pe) const;  ///< middle and before, from the middle

    int count_, middle_;
    ReducePlan down_, up_;
    Colour broadcast_;
};

/// y = x W as GemvPlan describes. Of each PE: its tile of W row-major, its part of x, its part of y.
struct GemvTiles {
    Vec w, x, y;
};
GemvTiles alloc_gemv(Pe& pe, const GemvPlan& plan);
Process gemv(Pe& pe, const GemvPlan& plan, const MiddleReduce& sum, GemvTiles tiles);

/// One GEMV as a program of its own.
class GemvProgram {
public:
    /// Row-major W (k x n) and x (k), for data mode; they must outlive the run.
    explicit GemvProgram(const GemvPlan& plan, std::span<const float> w = {}, std::span<const float> x = {});

    Program program();
    std::vector<float> result(Simulator& simulator) const;

private:
    Process run(Pe& pe);

    GemvPlan plan_;
    HostMatrix w_, x_;
    MiddleReduce sum_;
    GemvTiles tiles_;  // the same in every PE
};

}  // namespace wb::fabric
