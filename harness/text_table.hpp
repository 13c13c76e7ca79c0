#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace wb {

enum class Align { left, right, centre };
/// Meaning, not colour; a terminal shows it in colour only if asked.
enum class Emphasis { none, strong, faint, good, caution, bad };

struct TextColumn {
    std::string name;
    Align align = Align::left;
    std::string group = {};  ///< neighbours of the same non-empty group share a header above their names
    std::string unit = {};   ///< of Cell::number; shown by CSV and JSON, whose readers compute
    bool worded = false;     ///< cells say more than their number: see with_words
};

struct Cell {
    Cell() = default;
    Cell(std::string shown) : text(std::move(shown)) {}
    Cell(const char* shown) : text(shown) {}
    Cell(std::string shown, Emphasis how) : text(std::move(shown)), emphasis(how) {}
    /// `value` goes to CSV and JSON at full precision in the column's unit, `shown` to people. NaN and infinities
    /// become empty and null there.
    Cell(std::string shown, double value, Emphasis how = Emphasis::none)
        : text(std::move(shown)), emphasis(how), number(value) {}

    std::string text;
    Emphasis emphasis = Emphasis::none;
    std::optional<double> number = {};
};

/// One table, five outputs. Rows may be shorter than the columns; a longer one is a ContractError.
class TextTable {
public:
    explicit TextTable(std::vector<TextColumn> columns);

    /// A sub-header above the rows that follow; in CSV and JSON a field "section" of each row.
    void section(std::string title);
    void row(std::vector<Cell> cells);
    bool empty() const { return rows_.empty(); }
    const std::vector<TextColumn>& columns() const { return columns_; }
    std::size_t rows() const { return rows_.size(); }
    std::size_t cells(std::size_t row) const { return rows_[row].cells.size(); }
    const Cell& cell(std::size_t row, std::size_t column) const { return rows_[row].cells[column]; }
    /// The sub-header a row stands below; empty before the first.
    const std::string& section_of(std::size_t row) const { return sections_[rows_[row].section]; }

    /// Aligned by display width, two spaces between columns, no boxes, no trailing blanks; ANSI colours if `colour`.
    std::string terminal(bool colour = false) const;
    /// GitHub's pipe tables, one per section.
    std::string markdown() const;
    /// RFC 4180, except lines ending in \n alone; header "group name [unit]".
    std::string csv() const;
    /// {"columns": [{name, group, unit}], "rows": [{"group name": value}]}; number where there is one, else text.
    std::string json() const;
    /// A tabular with the rules of the package booktabs; with a caption a longtable, which may fill several pages.
    std::string latex(const std::string& caption = "") const;

private:
    struct Row {
        std::size_t section;
        std::vector<Cell> cells;
    };
    std::vector<std::size_t> widths() const;
    bool grouped() const;

    std::vector<TextColumn> columns_;
    std::vector<std::string> sections_{""};
    std::vector<Row> rows_;
};

/// The same with a further column behind each worded one that has its texts, "NAME, in words": for CSV, JSON and HDF5,
/// which keep the numbers of the column itself.
TextTable with_words(const TextTable& table);
/// The text with what LaTeX takes for a command escaped.
std::string in_latex(std::string_view text);
/// Columns of a terminal that UTF-8 text takes: 0 for combining marks, 2 for East Asian wide characters and emoji.
/// A byte that is not UTF-8 counts as 1.
std::size_t display_width(std::string_view text);
/// Cut to at most `width` columns, the last one "…" if anything was cut. Never splits a character.
std::string fit(std::string_view text, std::size_t width);

}  // namespace wb
