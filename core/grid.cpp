#include "core/grid.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/error.hpp"

namespace wb {
namespace {

/// Sum of the PEs under one cell, and how many there are.
struct Patch {
    double sum = 0;
    int count = 0;
};

Patch patch_of(const Grid& g, int row, int column, int row_step, int column_step) {
    Patch p;
    for (int r = row * row_step; r < std::min((row + 1) * row_step, g.rows); ++r)
        for (int c = column * column_step; c < std::min((column + 1) * column_step, g.columns); ++c) {
            p.sum += g.at(r, c);
            ++p.count;
        }
    return p;
}

}  // namespace

Grid make_grid(std::string name, std::string unit, std::string about, int rows, int columns,
               std::vector<double> values) {
    WB_EXPECT(rows >= 1 && columns >= 1);
    WB_EXPECT(values.size() == static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns));
    Grid g{std::move(name), std::move(unit), std::move(about), rows, columns, 1, 1, 0, 0, std::move(values)};
    g.mean = std::accumulate(g.values.begin(), g.values.end(), 0.0) / static_cast<double>(g.values.size());
    g.largest = *std::max_element(g.values.begin(), g.values.end());
    return g;
}

Grid thinned(const Grid& grid, int most) {
    WB_EXPECT(most >= 1 && grid.rows_per_cell == 1 && grid.columns_per_cell == 1);
    const auto step = [most](int n) { return (n + most - 1) / most; };
    const auto cells = [](int n, int per_cell) { return (n + per_cell - 1) / per_cell; };
    Grid out = grid;
    out.rows_per_cell = step(grid.rows);
    out.columns_per_cell = step(grid.columns);
    out.rows = cells(grid.rows, out.rows_per_cell);
    out.columns = cells(grid.columns, out.columns_per_cell);
    out.values.clear();
    for (int r = 0; r < out.rows; ++r)
        for (int c = 0; c < out.columns; ++c) {
            const Patch p = patch_of(grid, r, c, out.rows_per_cell, out.columns_per_cell);
            out.values.push_back(std::stod(fmt::format("{:.6g}", p.sum / p.count)));
        }
    return out;
}

}  // namespace wb
