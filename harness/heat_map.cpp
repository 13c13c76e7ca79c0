#include "harness/heat_map.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "harness/text_table.hpp"

namespace wb {
namespace {

constexpr std::string_view ramp = " .:-=+*#%@";
/// From dark blue over green to yellow in the 256 colours of terminals; even steps of brightness.
constexpr std::array shades{17, 18, 19, 24, 30, 36, 71, 107, 148, 190, 226};

/// Mean of the cells that fall into one character.
double patch(const Grid& g, int first_row, int last_row, int first_column, int last_column) {
    double sum = 0;
    for (int r = first_row; r < last_row; ++r)
        for (int c = first_column; c < last_column; ++c) sum += g.at(r, c);
    return sum / ((last_row - first_row) * (last_column - first_column));
}

/// Level 0 is nothing at all, the last one the largest value; others in between.
std::size_t level(double value, double largest, std::size_t levels) {
    if (!(value > 0) || !(largest > 0)) return 0;
    const double part = value / largest * static_cast<double>(levels - 1);
    return std::clamp<std::size_t>(static_cast<std::size_t>(std::lround(part)), 1, levels - 1);
}

std::string number(double value, const std::string& unit) {
    if (unit == "1") return fmt::format("{:.3g} %", 100 * value);
    return fmt::format("{:.4g} {}", value, unit);
}

std::string cells_text(const Grid& g) {
    if (g.rows_per_cell == 1 && g.columns_per_cell == 1) return fmt::format("{}x{} PEs", g.rows, g.columns);
    return fmt::format("{}x{} cells of {}x{} PEs", g.rows, g.columns, g.rows_per_cell, g.columns_per_cell);
}

std::string pictures(const ResultSet& set, bool colour, const std::string& filter) {
    std::string out;
    for (const Result& r : set.results) {
        if (r.m.grids.empty() || (!filter.empty() && r.key.find(filter) == std::string::npos)) continue;
        out += fmt::format("{}{} | {} {} {}\n", out.empty() ? "" : "\n", r.label, r.system, r.backend, r.m.mapping);
        for (const Grid& g : r.m.grids) {
            out += fmt::format("\n{}: {} (mean {}, largest {}; {})\n", g.name, g.about, number(g.mean, g.unit),
                               number(g.largest, g.unit), cells_text(g));
            out += draw(g, colour);
        }
    }
    return out.empty() ? "no heat maps: only simulated cases have them\n" : out;
}

}  // namespace

std::string draw(const Grid& g, bool colour, int width, int height) {
    const double largest = g.values.empty() ? 0 : *std::max_element(g.values.begin(), g.values.end());
    const int lines = std::min(g.rows, height), characters = std::min(g.columns, width);
    std::string out;
    for (int line = 0; line < lines; ++line) {
        std::string text;
        for (int i = 0; i < characters; ++i) {
            const double v = patch(g, line * g.rows / lines, (line + 1) * g.rows / lines, i * g.columns / characters,
                                   (i + 1) * g.columns / characters);
            if (colour)
                text += fmt::format("\x1b[48;5;{}m ", shades[level(v, largest, shades.size())]);
            else
                text += ramp[level(v, largest, ramp.size())];
        }
        out += colour ? text + "\x1b[0m\n" : "|" + text + "|\n";
    }
    return out;
}

std::string show_heat_maps(const ResultSet& set, Format format, bool colour, const std::string& filter) {
    if (format == Format::terminal) return pictures(set, colour, filter);
    TextTable table({{"system"},
                     {"backend"},
                     {"mapping"},
                     {"grid"},
                     {"about"},
                     {"mean", Align::right, "", "see unit"},
                     {"largest", Align::right, "", "see unit"},
                     {"unit"}});
    for (const Result& r : set.results) {
        if (r.m.grids.empty() || (!filter.empty() && r.key.find(filter) == std::string::npos)) continue;
        table.section(r.label);
        for (const Grid& g : r.m.grids)
            table.row({r.system,
                       r.backend,
                       r.m.mapping,
                       g.name,
                       g.about,
                       {number(g.mean, g.unit), g.mean},
                       {number(g.largest, g.unit), g.largest},
                       g.unit});
    }
    if (format == Format::markdown) return table.markdown();
    if (format == Format::latex) return table.latex();
    return format == Format::csv ? table.csv() : table.json();
}

}  // namespace wb
