#include "models/fabric/programs/gemm.hpp"
#include "models/fabric/programs/panels.hpp"

namespace wb::fabric {

namespace {

/// Both operands' panels; A's along the rows, B's along the columns.
struct PanelPair {
    PanelPair(const Pe& pe, const GemmPlan& plan, const GemmTiles& tiles, Colour first)
        : each_a(static_cast<int>(plan.steps()) / plan.columns),
          each_b(static_cast<int>(plan.steps()) / plan.rows),
          a(row_line(pe), each_a, tiles.a.count / static_cast<std::size_t>(each_a), first),
          b(column_line(pe), each_b, tiles.b.count / static_cast<std::size_t>(each_b),
            static_cast<Colour>(first + Panels::colours)) {}

    int each_a, each_b;
    Panels a, b;
};

}  // namespace

/// As gemm-collectives_2d of csl-examples: a step fetches one panel of each operand, then multiplies; nothing overlaps.
Process summa(Pe& pe, const GemmPlan& plan, GemmTiles& tiles, Colour first) {
    const PanelPair panels(pe, plan, tiles, first);
    const Handle sent_a = panels.a.send(pe, tiles.a), sent_b = panels.b.send(pe, tiles.b);
    for (std::int64_t k = 0; k < plan.steps(); ++k) {
        co_await tasks(pe, summa_tasks);  // in one piece: where in the step they run makes no difference to its length
        const Handle a_here = panels.a.begin(pe, k, tiles.a, tiles.spare_a);
        const Handle b_here = panels.b.begin(pe, k, tiles.b, tiles.spare_b);
        co_await a_here;
        co_await b_here;
        co_await multiply(pe, tiles.c, panels.a.where(k, tiles.a, tiles.spare_a),
                          panels.b.where(k, tiles.b, tiles.spare_b), plan.tile_m(), plan.panel(), plan.tile_n(),
                          useful_fma(pe, plan, k), k == 0);
    }
    co_await sent_a;
    co_await sent_b;
}

/// All panels first. The products follow panel by panel in one stretch, as one product with k in full would.
Process allgather_gemm(Pe& pe, const GemmPlan& plan, GemmTiles& tiles, Colour first) {
    const PanelPair panels(pe, plan, tiles, first);
    const Handle sent_a = panels.a.send(pe, tiles.a), sent_b = panels.b.send(pe, tiles.b);
    const auto slot = [&plan](Vec all, std::int64_t k) {
        const std::size_t pitch = all.count / static_cast<std::size_t>(plan.steps());
        return all.sub(static_cast<std::size_t>(k) * pitch, pitch);
    };
    co_await tasks(pe, summa_tasks);
    const Handle all_a = panels.a.begin_all(pe, tiles.a, tiles.spare_a);
    const Handle all_b = panels.b.begin_all(pe, tiles.b, tiles.spare_b);
    if (panels.a.edge()) co_await all_a;
    const Handle rest_a = panels.a.rest(pe, tiles.spare_a);
    if (panels.b.edge()) co_await all_b;
    const Handle rest_b = panels.b.rest(pe, tiles.spare_b);
    if (!panels.a.edge()) co_await all_a;
    if (!panels.b.edge()) co_await all_b;
    co_await rest_a;
    co_await rest_b;
    for (std::int64_t k = 0; k < plan.steps(); ++k)
        co_await multiply(pe, tiles.c, panels.a.where(k, tiles.a, slot(tiles.spare_a, k)),
                          panels.b.where(k, tiles.b, slot(tiles.spare_b, k)), plan.tile_m(), plan.panel(),
                          plan.tile_n(), useful_fma(pe, plan, k), k == 0);
    co_await sent_a;
    co_await sent_b;
}

}  // namespace wb::fabric
