#pragma once

#include "models/fabric/programs/line.hpp"
#include "models/fabric/programs/reduce_plan.hpp"

/// Collectives over a line of PEs or the whole mesh, as sub-programs to co_await. Each comes as a pair: route_x(), to
/// be called before the program's first co_await, and x(), which every PE of the line awaits. Algorithms and names
/// follow Luczynski et al., HPDC 2024. All are for f32 and f16, and take a contiguous or strided vector of the same
/// count on all PEs. Plans are passed by reference and must outlive the run: make them outside the program and capture
/// them.
///
///     const Allreduce sum{two_phase_plan(columns, {0, 3}), 3};   // colours 0, 1, 2 and 3
///     const Program program = [&sum](Pe& pe) -> Process {
///         const Line row = row_line(pe);
///         route_allreduce(pe, row, sum);
///         Vec v = pe.alloc(Type::f32, 64);
///         co_await allreduce(pe, row, v, sum);
///     };
namespace wb::fabric {

enum class Combine : std::uint8_t { add, maximum };

/// `values` of index 0 to all others: one multicast message, T = wavelets + count + 2 T_R.
void route_broadcast(Pe& pe, Line line, Colour colour);
Process broadcast(Pe& pe, Line line, Vec values, Colour colour);

/// `values` of the north-west PE to all of the mesh: along row 0, and from each of its PEs down the column.
void route_broadcast_2d(Pe& pe, Colour colour);
Process broadcast_2d(Pe& pe, Vec values, Colour colour);

/// The element-wise sum or maximum of all `values` into those of index 0. The other PEs' values are lost.
void route_reduce(Pe& pe, Line line, const ReducePlan& plan);
Process reduce(Pe& pe, Line line, Vec values, const ReducePlan& plan, Combine combine = Combine::add);

/// Reduce to index 0, then broadcast: every PE of the line has the result.
struct Allreduce {
    ReducePlan plan;
    Colour broadcast;
};
void route_allreduce(Pe& pe, Line line, const Allreduce& how);
Process allreduce(Pe& pe, Line line, Vec values, const Allreduce& how, Combine combine = Combine::add);

/// X then Y: along the rows to column 0, then along column 0 to the north-west PE. For the snake, reduce() over
/// snake_line() with a chain_plan() of all PEs.
struct Reduce2d {
    ReducePlan rows, columns;
};
void route_reduce_2d(Pe& pe, const Reduce2d& how);
Process reduce_2d(Pe& pe, Vec values, const Reduce2d& how, Combine combine = Combine::add);

/// Reduce to the north-west PE, then broadcast.
struct Allreduce2d {
    Reduce2d plan;
    Colour broadcast;
};
void route_allreduce_2d(Pe& pe, const Allreduce2d& how);
Process allreduce_2d(Pe& pe, Vec values, const Allreduce2d& how, Combine combine = Combine::add);

/// A ring over the line: index i sends to i + 1, the last one back to index 0 over all of them. Three colours.
/// Chunk i of `count`: of nearly equal parts on wavelet boundaries, part i.
Vec ring_chunk(Vec values, int count, int i);
void route_ring(Pe& pe, Line line, Colours three);
/// Chunk `index` of the result at index i; the other chunks are lost.
Process ring_reduce_scatter(Pe& pe, Line line, Vec values, Colours three, Combine combine = Combine::add);
/// Chunk `index` of every PE to all PEs.
Process ring_allgather(Pe& pe, Line line, Vec values, Colours three);
/// Reduce-scatter, then allgather.
Process ring_allreduce(Pe& pe, Line line, Vec values, Colours three, Combine combine = Combine::add);

}  // namespace wb::fabric
