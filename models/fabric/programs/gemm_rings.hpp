#pragma once

#include "models/fabric/programs/shift_ring.hpp"
#include "models/gemm_laws.hpp"

namespace wb::fabric {

/// The rings of a shifting product, as one PE sees them: forward for the steps, backward to align on the shorter way.
struct GemmRings {
    static constexpr int colours = 4 * ShiftRing::colours;

    GemmRings(const Pe& pe, const GemmPlan& plan, Colour first)
        : order(plan.algorithm == GemmAlgorithm::cannon ? RingOrder::natural : RingOrder::interleaved),
          along_row(row_line(pe), order, true, first),
          along_row_back(row_line(pe), order, false, static_cast<Colour>(first + ShiftRing::colours)),
          along_column(column_line(pe), order, true, static_cast<Colour>(first + 2 * ShiftRing::colours)),
          along_column_back(column_line(pe), order, false, static_cast<Colour>(first + 3 * ShiftRing::colours)) {}

    void route(Pe& pe, bool backward) const {
        along_row.route(pe);
        along_column.route(pe);
        if (!backward) return;
        along_row_back.route(pe);
        along_column_back.route(pe);
    }

    RingOrder order;
    ShiftRing along_row, along_row_back, along_column, along_column_back;

    int count() const { return along_row.count(); }
    int row_position() const { return along_column.position(); }  ///< of the PE's row in its column's ring
    int column_position() const { return along_row.position(); }
    /// Row or column of the mesh with this position in its ring, counted on beyond the last.
    int index_at(int position) const {
        return ShiftRing::index_at(order, (position % count() + count()) % count(), count());
    }
};

/// `times` forward, or count - times backward if that is shorter.
inline Process shift_either_way(Pe& pe, const ShiftRing& forward, const ShiftRing& backward, Vec& tile, Vec& spare,
                                int times) {
    const int count = forward.count(), on = times % count;
    if (2 * on <= count)
        co_await shift(pe, forward, tile, spare, on);
    else
        co_await shift(pe, backward, tile, spare, count - on);
}

}  // namespace wb::fabric
