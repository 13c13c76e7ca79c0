#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/partition.hpp"

namespace wb::cpu {

/// How a product is spread over a grid of ranks.
enum class Spread : std::uint8_t {
    summa,   ///< panels of A and B broadcast along rows and columns (van de Geijn and Watts 1997)
    cannon,  ///< blocks of A and B shifted around a square torus (Cannon 1969)
    layered  ///< "2.5d": copies of A and B on several layers, each doing a share of the panels (Solomonik, Demmel 2011)
};
std::string_view name(Spread spread);
std::vector<std::string> spread_names();

/// Ranks as layers of rows and columns; rank = (layer * rows + row) * columns + column.
struct RankGrid {
    int rows = 1, columns = 1, layers = 1;
    int ranks() const { return rows * columns * layers; }
    std::string text() const;
    bool operator==(const RankGrid&) const = default;
};

/// The grids of so many ranks on which that spread is possible, the one that moves least bytes of an m x k by k x n
/// product first; empty if there is none.
std::vector<RankGrid> grids_of(Spread spread, int ranks, std::int64_t m, std::int64_t n, std::int64_t k);

/// Columns of A, and rows of B, that go through all ranks together: those of one owner each.
struct Panel {
    std::int64_t first, width;
    int a_column, b_row;  ///< of the grid: who holds them
};
/// The k axis in panels of at most `width`, cut where A's or B's owner changes.
std::vector<Panel> panels_of(std::int64_t k, const RankGrid& grid, std::int64_t width);

}  // namespace wb::cpu
