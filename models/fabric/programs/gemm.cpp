#include "models/fabric/programs/gemm.hpp"

#include "models/fabric/programs/gemm_rings.hpp"
#include "models/fabric/programs/panels.hpp"

namespace wb::fabric {

namespace {

std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

bool by_panels(const GemmPlan& plan) {
    return plan.algorithm == GemmAlgorithm::summa || plan.algorithm == GemmAlgorithm::allgather;
}

/// Elements from one panel to the next: whole wavelets.
std::size_t pitch(const GemmPlan& plan, std::int64_t elements) {
    const std::size_t width = per_wavelet(type_of(plan.type));
    return (size(elements) + width - 1) / width * width;
}

/// Which part of the contracted (of `transposed`, B's outer) dimension a PE starts with: its own row's or column's, or
/// where an aligned plan needs it.
int starting_part(const Pe& pe, const GemmPlan& plan, int own) {
    if (!plan.aligned || by_panels(plan)) return own;
    const GemmRings rings(pe, plan, 0);
    return rings.index_at(rings.row_position() + rings.column_position());
}

}  // namespace

int gemm_colours(const GemmPlan& plan) { return by_panels(plan) ? 2 * Panels::colours : GemmRings::colours; }

GemmTiles alloc_gemm(Pe& pe, const GemmPlan& plan) {
    const Type type = type_of(plan.type);
    const std::size_t a = pitch(plan, plan.tile_m() * plan.panel()), b = pitch(plan, plan.panel() * plan.tile_n()),
                      c = size(plan.tile_m() * plan.tile_n());
    GemmTiles t;
    if (by_panels(plan)) {
        const bool all = plan.algorithm == GemmAlgorithm::allgather;
        t.a = pe.alloc(type, a * size(plan.steps() / plan.columns));
        t.b = pe.alloc(type, b * size(plan.steps() / plan.rows));
        t.spare_a = pe.alloc(type, all ? a * size(plan.steps()) : a);
        t.spare_b = pe.alloc(type, all ? b * size(plan.steps()) : b);
        t.c = pe.alloc(type, c);
        return t;
    }
    t.a = pe.alloc(type, a);
    t.b = pe.alloc(type, b);
    t.c = pe.alloc(type, c);
    t.spare_b = pe.alloc(type, b);
    if (plan.algorithm == GemmAlgorithm::transposed)
        t.spare_c = pe.alloc(type, c);
    else
        t.spare_a = pe.alloc(type, a);
    return t;
}

void route_gemm(Pe& pe, const GemmPlan& plan, Colour first) {
    if (by_panels(plan)) {
        Panels(row_line(pe), 1, 1, first).route(pe);
        Panels(column_line(pe), 1, 1, static_cast<Colour>(first + Panels::colours)).route(pe);
    } else {
        GemmRings(pe, plan, first).route(pe, !plan.aligned);
    }
}

Process gemm(Pe& pe, const GemmPlan& plan, GemmTiles& tiles, Colour first) {
    switch (plan.algorithm) {
        case GemmAlgorithm::summa: return summa(pe, plan, tiles, first);
        case GemmAlgorithm::allgather: return allgather_gemm(pe, plan, tiles, first);
        case GemmAlgorithm::transposed: return transposed_gemm(pe, plan, tiles, first);
        case GemmAlgorithm::cannon:
        case GemmAlgorithm::interleaved: break;
    }
    return shifting_gemm(pe, plan, tiles, first);
}

double useful_fma(const Pe& pe, const GemmPlan& plan, std::int64_t block) {
    const std::int64_t rows = present(plan.m, plan.tile_m(), pe.row);
    if (plan.algorithm == GemmAlgorithm::transposed)
        return static_cast<double>(rows * present(plan.k, plan.panel(), pe.column) *
                                   present(plan.n, plan.tile_n(), block));
    return static_cast<double>(rows * present(plan.n, plan.tile_n(), pe.column) * present(plan.k, plan.panel(), block));
}

void load_gemm(Pe& pe, const GemmPlan& plan, const GemmTiles& tiles, const HostMatrix& a, const HostMatrix& b) {
    const std::int64_t m = plan.tile_m(), k = plan.panel(), n = plan.tile_n(), row = pe.row * m, column = pe.column * n;
    if (plan.algorithm == GemmAlgorithm::transposed) {
        load(pe, tiles.a, a, row, pe.column * k, m, k);
        load(pe, tiles.b, b, starting_part(pe, plan, pe.row) * n, pe.column * k, n, k, true);
        return;
    }
    const std::int64_t each_a = by_panels(plan) ? plan.steps() / plan.columns : 1;
    const std::int64_t each_b = by_panels(plan) ? plan.steps() / plan.rows : 1;
    const std::size_t pitch_a = pitch(plan, m * k), pitch_b = pitch(plan, k * n);
    const int part_a = starting_part(pe, plan, pe.column), part_b = starting_part(pe, plan, pe.row);
    for (std::int64_t i = 0; i < each_a; ++i)
        load(pe, tiles.a.sub(size(i) * pitch_a, pitch_a), a, row, (part_a * each_a + i) * k, m, k);
    for (std::int64_t i = 0; i < each_b; ++i)
        load(pe, tiles.b.sub(size(i) * pitch_b, pitch_b), b, (part_b * each_b + i) * k, column, k, n);
}

void unload_gemm(Pe& pe, const GemmPlan& plan, const GemmTiles& tiles, std::span<float> c) {
    int part = pe.column;
    if (plan.algorithm == GemmAlgorithm::transposed && plan.aligned) {
        const GemmRings rings(pe, plan, 0);
        part = rings.index_at(rings.row_position() + rings.column_position() + 1);
    }
    unload(pe, tiles.c, c, plan.m, plan.n, pe.row * plan.tile_m(), part * plan.tile_n(), plan.tile_m(), plan.tile_n());
}

GemmProgram::GemmProgram(const GemmPlan& plan, std::span<const float> a, std::span<const float> b) : plan_(plan) {
    plan_.check();
    const bool flipped = plan.algorithm == GemmAlgorithm::transposed;
    a_ = {a, plan.m, plan.k};
    b_ = flipped ? HostMatrix{b, plan.n, plan.k} : HostMatrix{b, plan.k, plan.n};
    tiles_.resize(size(plan.rows) * size(plan.columns));
}

Process GemmProgram::run(Pe& pe) {
    GemmTiles& tiles = tiles_[size(pe.row) * size(plan_.columns) + size(pe.column)];
    route_gemm(pe, plan_, 0);
    tiles = alloc_gemm(pe, plan_);
    load_gemm(pe, plan_, tiles, a_, b_);
    co_await gemm(pe, plan_, tiles, 0);
}

Program GemmProgram::program() {
    return [this](Pe& pe) { return run(pe); };
}

std::vector<float> GemmProgram::result(Simulator& simulator) const {
    std::vector<float> c(size(plan_.m * plan_.n));
    for (int row = 0; row < plan_.rows; ++row)
        for (int column = 0; column < plan_.columns; ++column)
            unload_gemm(simulator.pe(row, column), plan_, tiles_[size(row) * size(plan_.columns) + size(column)], c);
    return c;
}

}  // namespace wb::fabric
