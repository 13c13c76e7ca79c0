#include "models/fabric/yield_map.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "core/error.hpp"

namespace wb::fabric {

YieldMap YieldMap::random(int rows, int columns, double pe_rate, double link_rate, std::uint64_t seed) {
    WB_EXPECT(rows > 0 && columns > 0 && pe_rate >= 0 && pe_rate <= 1 && link_rate >= 0 && link_rate <= 1);
    std::mt19937_64 dice(seed);
    // Not std::bernoulli_distribution: its draws differ between standard libraries.
    const auto dies = [&](double rate) { return std::ldexp(static_cast<double>(dice() >> 11), -53) < rate; };
    YieldMap map;
    map.rows = rows;
    map.columns = columns;
    for (int r = 0; r < rows; ++r)
        for (int c = 0; c < columns; ++c) {
            if (dies(pe_rate)) map.pes.push_back({r, c});
            if (dies(link_rate) && c + 1 < columns) map.links.push_back({r, c, Port::east});
            if (dies(link_rate) && r + 1 < rows) map.links.push_back({r, c, Port::south});
        }
    return map;
}

namespace {

/// Rows and columns to leave out. Finding the fewest is NP-complete (Kuo and Fuchs, 1987); as they do, lines that must
/// go are taken first, then the line with most dead PEs.
class Repair {
public:
    Repair(const YieldMap& map, int rows, int columns)
        : map_(map),
          spare_rows_(map.rows - rows),
          spare_columns_(map.columns - columns),
          no_row_(static_cast<std::size_t>(map.rows)),
          no_column_(static_cast<std::size_t>(map.columns)) {}

    Placement run() {
        for (const YieldMap::Link& l : map_.links) {
            check(l.row, l.column);
            const bool along_row = l.port == Port::east || l.port == Port::west;
            along_row ? drop_row(l.row) : drop_column(l.column);
        }
        for (const YieldMap::Place& p : map_.pes) check(p.row, p.column);
        while (drop_worst()) {
        }
        if (spare_rows_ < 0 || spare_columns_ < 0)
            throw Error({fmt::format("yield map of {} x {}", map_.rows, map_.columns),
                         fmt::format("the spares do not suffice for {} dead PEs and {} dead links", map_.pes.size(),
                                     map_.links.size()),
                         fmt::format("{} rows and {} columns are missing", std::max(0, -spare_rows_),
                                     std::max(0, -spare_columns_)),
                         "Use a smaller mesh, or one with more spares."});
        return {kept(no_row_, map_.rows - spare_rows_total()), kept(no_column_, map_.columns - spare_columns_total())};
    }

private:
    void check(int row, int column) const {
        if (row < 0 || row >= map_.rows || column < 0 || column >= map_.columns)
            throw Error({fmt::format("yield map of {} x {}", map_.rows, map_.columns),
                         fmt::format("the defect at ({}, {}) is outside", row, column), "", ""});
    }
    void drop_row(int r) {
        if (!no_row_[static_cast<std::size_t>(r)]) --spare_rows_;
        no_row_[static_cast<std::size_t>(r)] = true;
    }
    void drop_column(int c) {
        if (!no_column_[static_cast<std::size_t>(c)]) --spare_columns_;
        no_column_[static_cast<std::size_t>(c)] = true;
    }

    /// False when no dead PE is left.
    bool drop_worst() {
        std::vector<int> in_row(no_row_.size()), in_column(no_column_.size());
        for (const YieldMap::Place& p : map_.pes) {
            if (no_row_[static_cast<std::size_t>(p.row)] || no_column_[static_cast<std::size_t>(p.column)]) continue;
            ++in_row[static_cast<std::size_t>(p.row)];
            ++in_column[static_cast<std::size_t>(p.column)];
        }
        const auto row = std::max_element(in_row.begin(), in_row.end());
        const auto column = std::max_element(in_column.begin(), in_column.end());
        if (*row == 0) return false;
        const bool row_must = *row > spare_columns_, column_must = *column > spare_rows_;
        bool take_row = *row != *column ? *row > *column : spare_rows_ >= spare_columns_;
        if (row_must != column_must) take_row = row_must;
        if (spare_rows_ <= 0 || spare_columns_ <= 0) take_row = spare_rows_ >= spare_columns_;
        take_row ? drop_row(static_cast<int>(row - in_row.begin()))
                 : drop_column(static_cast<int>(column - in_column.begin()));
        return true;
    }

    int spare_rows_total() const {
        return spare_rows_ + static_cast<int>(std::count(no_row_.begin(), no_row_.end(), true));
    }
    int spare_columns_total() const {
        return spare_columns_ + static_cast<int>(std::count(no_column_.begin(), no_column_.end(), true));
    }
    static std::vector<int> kept(const std::vector<bool>& dropped, int count) {
        std::vector<int> lines;
        for (std::size_t i = 0; i < dropped.size() && static_cast<int>(lines.size()) < count; ++i)
            if (!dropped[i]) lines.push_back(static_cast<int>(i));
        return lines;
    }

    const YieldMap& map_;
    int spare_rows_, spare_columns_;  // not used yet; negative: missing
    std::vector<bool> no_row_, no_column_;
};

}  // namespace

Placement place(const YieldMap& map, int rows, int columns) { return Repair(map, rows, columns).run(); }

}  // namespace wb::fabric
