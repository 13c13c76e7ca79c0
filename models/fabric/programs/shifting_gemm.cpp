#include <utility>

#include "models/fabric/programs/gemm.hpp"
#include "models/fabric/programs/gemm_rings.hpp"

namespace wb::fabric {

/// Cannon and MeshGEMM: the tiles for the next step travel while those of this one are multiplied. At ring positions
/// (r, c) step s needs panel r + c - s of k, so that both operands move forward by one.
Process shifting_gemm(Pe& pe, const GemmPlan& plan, GemmTiles& tiles, Colour first) {
    const GemmRings rings(pe, plan, first);
    const int count = rings.count(), r = rings.row_position(), c = rings.column_position();
    if (!plan.aligned) {
        co_await shift_either_way(pe, rings.along_row, rings.along_row_back, tiles.a, tiles.spare_a, count - r);
        co_await shift_either_way(pe, rings.along_column, rings.along_column_back, tiles.b, tiles.spare_b, count - c);
    }
    for (int s = 0; s < count; ++s) {
        const bool more = s + 1 < count;
        co_await pe.task();
        Handle going[4];
        if (more) {
            going[0] = pe.start(pe.send(rings.along_row.out(), tiles.a));
            going[1] = pe.start(pe.send(rings.along_column.out(), tiles.b));
            going[2] = pe.start(pe.recv(rings.along_row.in(), tiles.spare_a));
            going[3] = pe.start(pe.recv(rings.along_column.in(), tiles.spare_b));
        }
        co_await multiply(pe, tiles.c, tiles.a, tiles.b, plan.tile_m(), plan.panel(), plan.tile_n(),
                          useful_fma(pe, plan, rings.index_at(r + c - s)), s == 0);
        for (const Handle& h : going) co_await h;
        co_await tasks(pe, shift_tasks - 1);  // the arrival of either tile
        if (!more) continue;
        std::swap(tiles.a, tiles.spare_a);
        std::swap(tiles.b, tiles.spare_b);
    }
}

/// C = A B^T (QK^T): at ring positions (r, c) step s multiplies A with part r + c - s of B's rows, which travels along
/// the column; the sum over k of that part of C travels along the row in step with it.
Process transposed_gemm(Pe& pe, const GemmPlan& plan, GemmTiles& tiles, Colour first) {
    const GemmRings rings(pe, plan, first);
    const int count = rings.count(), r = rings.row_position(), c = rings.column_position();
    if (!plan.aligned)
        co_await shift_either_way(pe, rings.along_column, rings.along_column_back, tiles.b, tiles.spare_b, count - c);
    Handle sum_going;
    for (int s = 0; s < count; ++s) {
        const bool more = s + 1 < count;
        co_await pe.task();
        Handle b_going, b_coming;
        if (more) {
            b_going = pe.start(pe.send(rings.along_column.out(), tiles.b));
            b_coming = pe.start(pe.recv(rings.along_column.in(), tiles.spare_b));
        }
        co_await multiply(pe, tiles.c, tiles.a, tiles.b, plan.tile_m(), plan.panel(), plan.tile_n(),
                          useful_fma(pe, plan, rings.index_at(r + c - s)), true);
        if (s > 0) co_await pe.recv_add(rings.along_row.in(), tiles.c);
        co_await b_going;
        co_await b_coming;
        co_await sum_going;
        co_await tasks(pe, shift_tasks - 1);
        if (!more) continue;
        sum_going = pe.start(pe.send(rings.along_row.out(), tiles.c));
        std::swap(tiles.c, tiles.spare_c);
        std::swap(tiles.b, tiles.spare_b);
    }
    // Sums end one step past the PE's own part: back to where C's tiles belong.
    if (!plan.aligned)
        co_await shift_either_way(pe, rings.along_row, rings.along_row_back, tiles.c, tiles.spare_c, r + 1);
}

}  // namespace wb::fabric
