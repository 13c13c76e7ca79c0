#include "kernels/cpu/distributed_grid.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace wb::cpu {
namespace {

/// Elements a rank receives. SUMMA and Cannon alike: its rows of A and columns of B but for its own part. Layered: the
/// copies, a share of those panels, and the sums.
double received(const RankGrid& g, double m, double n, double k) {
    const double a = m / g.rows * k, b = k * n / g.columns, c = m / g.rows * n / g.columns;
    double out = (a * (g.columns - 1) / g.columns + b * (g.rows - 1) / g.rows) / g.layers;
    if (g.layers > 1) out += a / g.columns + b / g.rows + c;
    return out;
}

}  // namespace

std::string_view name(Spread spread) {
    constexpr std::string_view names[] = {"summa", "cannon", "2.5d"};
    return names[static_cast<std::size_t>(spread)];
}

std::vector<std::string> spread_names() { return {"summa", "cannon", "2.5d"}; }

std::string RankGrid::text() const {
    return layers > 1 ? fmt::format("{}x{}x{}", rows, columns, layers) : fmt::format("{}x{}", rows, columns);
}

std::vector<RankGrid> grids_of(Spread spread, int ranks, std::int64_t m, std::int64_t n, std::int64_t k) {
    std::vector<RankGrid> out;
    for (int layers = 1; layers <= ranks; ++layers) {
        if (ranks % layers != 0 || (layers > 1) != (spread == Spread::layered)) continue;
        const int plane = ranks / layers;
        for (int rows = 1; rows <= plane; ++rows) {
            const RankGrid g{rows, plane / rows, layers};
            if (plane % rows != 0 || (spread == Spread::cannon && g.rows != g.columns)) continue;
            if (g.rows <= m && g.columns <= n && std::max(g.rows, g.columns) <= k && layers <= k) out.push_back(g);
        }
    }
    const auto cost = [&](const RankGrid& g) {
        return received(g, static_cast<double>(m), static_cast<double>(n), static_cast<double>(k));
    };
    std::stable_sort(out.begin(), out.end(), [&](const RankGrid& x, const RankGrid& y) { return cost(x) < cost(y); });
    return out;
}

std::vector<Panel> panels_of(std::int64_t k, const RankGrid& grid, std::int64_t width) {
    std::vector<Panel> out;
    int column = 0, row = 0;
    for (std::int64_t at = 0; at < k;) {
        const auto end = [k](int part, int parts) {
            const Range r = shard(k, part, parts);
            return r.first + r.count;
        };
        while (end(column, grid.columns) <= at) ++column;
        while (end(row, grid.rows) <= at) ++row;
        const std::int64_t last = std::min({at + width, end(column, grid.columns), end(row, grid.rows)});
        out.push_back({at, last - at, column, row});
        at = last;
    }
    return out;
}

}  // namespace wb::cpu
