#include "models/fabric/programs/gemv.hpp"

namespace wb::fabric {

namespace {

ReducePlan half_plan(int count, GemvPlan::Sum sum, Colour first) {
    const Colours three{first, 3};
    return sum == GemvPlan::Sum::pipeline ? chain_plan(count, three) : two_phase_plan(count, three);
}

}  // namespace

MiddleReduce::MiddleReduce(int count, GemvPlan::Sum sum, Colour first)
    : count_(count),
      middle_(count / 2),
      down_(half_plan(count - middle_, sum, first)),
      up_(half_plan(middle_ + 1, sum, static_cast<Colour>(first + 3))),
      broadcast_(static_cast<Colour>(first + 6)) {}

Line MiddleReduce::below(const Pe& pe) const { return column_line(pe).part(middle_, count_ - middle_); }
Line MiddleReduce::above(const Pe& pe) const { return column_line(pe).part(0, middle_ + 1).reversed(); }

void MiddleReduce::route(Pe& pe) const {
    if (count_ == 1) return;
    if (pe.row >= middle_) route_reduce(pe, below(pe), down_);
    if (pe.row <= middle_) route_reduce(pe, above(pe), up_);
    if (pe.row == middle_) {
        pe.route(broadcast_, Port::ramp, pe.row + 1 < count_ ? Port::north | Port::south : Ports(Port::north));
        return;
    }
    const bool end = pe.row == 0 || pe.row + 1 == count_;
    const Port on = pe.row > middle_ ? Port::south : Port::north;
    pe.route(broadcast_, opposite(on), end ? Ports(Port::ramp) : Port::ramp | on);
}

Process MiddleReduce::run(Pe& pe, Vec values, bool everywhere) const {
    if (count_ == 1) co_return;
    if (pe.row >= middle_) co_await reduce(pe, below(pe), values, down_);
    if (pe.row <= middle_) co_await reduce(pe, above(pe), values, up_);
    if (!everywhere) co_return;
    if (pe.row == middle_)
        co_await pe.send(broadcast_, values);
    else
        co_await pe.recv(broadcast_, values);
}

GemvTiles alloc_gemv(Pe& pe, const GemvPlan& plan) {
    const Type type = type_of(plan.type);
    const auto k = static_cast<std::size_t>(plan.tile_k()), n = static_cast<std::size_t>(plan.tile_n());
    GemvTiles t;
    t.w = pe.alloc(type, k * n);
    t.x = pe.alloc(type, k);
    t.y = pe.alloc(type, n);
    return t;
}

/// One multiply-add of a row of the tile for each element of x, then the sum over the column.
Process gemv(Pe& pe, const GemvPlan& plan, const MiddleReduce& sum, GemvTiles tiles) {
    const double useful =
        static_cast<double>(present(plan.k, plan.tile_k(), pe.row) * present(plan.n, plan.tile_n(), pe.column));
    co_await pe.task();
    co_await multiply(pe, tiles.y, tiles.w, tiles.x, plan.tile_n(), plan.tile_k(), 1, useful, true);
    co_await sum.run(pe, tiles.y, plan.everywhere);
}

GemvProgram::GemvProgram(const GemvPlan& plan, std::span<const float> w, std::span<const float> x)
    : plan_(plan), w_{w, plan.k, plan.n}, x_{x, plan.k, 1}, sum_(plan.rows, plan.sum, 0) {}

Process GemvProgram::run(Pe& pe) {
    sum_.route(pe);
    const GemvTiles tiles = alloc_gemv(pe, plan_);
    load(pe, tiles.w, w_, pe.row * plan_.tile_k(), pe.column * plan_.tile_n(), plan_.tile_k(), plan_.tile_n(), true);
    load(pe, tiles.x, x_, pe.row * plan_.tile_k(), 0, plan_.tile_k(), 1);
    if (pe.row == 0 && pe.column == 0) tiles_ = tiles;
    co_await gemv(pe, plan_, sum_, tiles);
}

Program GemvProgram::program() {
    return [this](Pe& pe) { return run(pe); };
}

std::vector<float> GemvProgram::result(Simulator& simulator) const {
    std::vector<float> y(static_cast<std::size_t>(plan_.n));
    for (int column = 0; column < plan_.columns; ++column)
        unload(simulator.pe(sum_.middle(), column), tiles_.y, y, plan_.n, 1, column * plan_.tile_n(), 0, plan_.tile_n(),
               1);
    return y;
}

}  // namespace wb::fabric
