#pragma once

#include <string>
#include <vector>

#include "harness/show.hpp"
#include "harness/tco/study.hpp"
#include "harness/text_table.hpp"

namespace wb::tco {

/// A table of the report with its title and the sentences below it.
struct Page {
    std::string id, title;
    TextTable table;
    std::vector<std::string> notes;
};

/// What is wrong with the numbers something is built on, as letters to stand beside it: a assumed, r recalled, s stale,
/// e band extrapolated, u no band known.
std::string marks(const Book& book, const std::vector<char>& used, const std::string& today);
std::string marks(const Yield& y);
/// Assumptions that move a part of the hourly cost of a row: each is moved a little, all others stay at their modes.
std::vector<char> moved_by(const Study& study, const Row& row, const HourTrials& hours, double (*part)(const Hourly&));
/// The sentence that explains the letters.
std::string legend();

/// Three significant digits, without exponents: "0.0123", "1.84", "33.8k", "2.05M".
std::string figure(double value);
/// The cells median, 5 %, 95 %, and the letters of marks().
std::vector<Cell> spread_cells(const Spread& s, const std::string& letters);
std::vector<TextColumn> spread_columns(const std::string& group, const std::string& unit);

/// Rows of one label, in order of appearance.
struct Group {
    std::string label;
    std::vector<const Row*> rows;
};
std::vector<Group> groups_of(const Study& study);
/// What the rows of a group are compared by: the first unit that its first row with a time has.
std::string main_unit(const Group& group);
/// That unit of a row; its id is empty if it has none.
Unit unit_of(const Row& row, const std::string& id);

/// All pages in one text. JSON: an object with a table for each id.
std::string pages_text(const std::vector<Page>& pages, Format format, bool colour);
/// The same as LaTeX tabulars.
std::string pages_latex(const std::vector<Page>& pages);
/// Writes them as the end of the name says: .md, .csv, .tex, .json or .h5, where each table is a group below /tco.
/// Throws Error for another end, and with Exit::io.
void write_pages(const std::string& path, const std::vector<Page>& pages, const std::string& assumptions);

}  // namespace wb::tco
