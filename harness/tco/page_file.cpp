#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <limits>
#include <set>
#include <span>

#include "core/error.hpp"
#include "harness/publish.hpp"
#include "harness/tco/page.hpp"
#include "harness/tco/tco_verb.hpp"

namespace wb::tco {
namespace {

/// A name of a dataset: "USD/h of a unit median" -> "USD_per_h_of_a_unit_median".
std::string plain_name(const std::string& text) {
    std::string out;
    for (const char c : text) {
        if (std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-')
            out += c;
        else if (c == '/')
            out += "_per_";
        else if (c == '%')
            out += "percent";
        else if (!out.empty() && out.back() != '_')
            out += '_';
    }
    while (out.ends_with('_')) out.pop_back();
    return out;
}

std::string unique_name(const TextColumn& column, std::set<std::string>& taken) {
    const std::string base =
        plain_name((column.group.empty() ? "" : column.group + " ") + (column.name.empty() ? "flags" : column.name));
    std::string name = base;
    for (int i = 2; !taken.insert(name).second; ++i) name = fmt::format("{}_{}", base, i);
    return name;
}

/// Rows may be shorter than the columns.
Cell cell_at(const TextTable& table, std::size_t row, std::size_t column) {
    return column < table.cells(row) ? table.cell(row, column) : Cell();
}

/// A column of numbers where any cell has one, else of texts.
Column column_of(const TextTable& table, std::size_t at, std::set<std::string>& taken) {
    const TextColumn& from = table.columns()[at];
    const std::string name = unique_name(from, taken);
    bool numbers = false;
    for (std::size_t r = 0; r < table.rows(); ++r) numbers = numbers || cell_at(table, r, at).number.has_value();
    const std::string about = from.group.empty() ? from.name : from.group + ": " + from.name;
    if (!numbers) {
        std::vector<std::string> texts;
        for (std::size_t r = 0; r < table.rows(); ++r) texts.push_back(cell_at(table, r, at).text);
        return {name, "", about, "derived", "none", std::move(texts), {}};
    }
    std::vector<double> values;
    for (std::size_t r = 0; r < table.rows(); ++r)
        values.push_back(cell_at(table, r, at).number.value_or(std::numeric_limits<double>::quiet_NaN()));
    return {name, from.unit.empty() ? "1" : from.unit, about, "derived", "none", std::move(values), {}};
}

Table table_of(const Page& page) {
    Table out{"tco/" + page.id, page.title, {}};
    const TextTable table = with_words(page.table);
    std::set<std::string> taken{"row_id"};
    std::vector<std::string> sections;
    for (std::size_t r = 0; r < table.rows(); ++r) sections.push_back(table.section_of(r));
    out.columns.push_back({"section", "", "what the row is about", "derived", "none", std::move(sections), {}});
    taken.insert("section");
    for (std::size_t c = 0; c < table.columns().size(); ++c) out.columns.push_back(column_of(table, c, taken));
    return out;
}

}  // namespace

void write_pages(const std::string& path, const std::vector<Page>& pages, const std::string& assumptions) {
    const std::string end = std::filesystem::path(path).extension().string();
    if (end == ".h5")
        return publish(path, [&](Hdf5Writer& file) {
            file.attribute("title", std::string("waferbench tco"));
            for (const Page& p : pages)
                if (!p.table.empty()) file.write(table_of(p));
            file.text("provenance/assumptions", assumptions, "preset, overlays and settings in force");
        });
    std::string text;
    if (end == ".tex")
        text = pages_latex(pages);
    else if (end == ".md")
        text = pages_text(pages, Format::markdown, false);
    else if (end == ".csv")
        text = pages_text(pages, Format::csv, false);
    else if (end == ".json")
        text = pages_text(pages, Format::json, false);
    else
        throw Error({"--output " + path, fmt::format("\"{}\" says no format", end), "the end of the name chooses it",
                     "Use .md, .csv, .tex, .json or .h5."});
    replace_file(path, std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace wb::tco

namespace wb {

std::optional<std::string> tco_summary(const std::filesystem::path& path) {
    const Hdf5Reader file(path);
    if (!file.has("tco")) return std::nullopt;
    return fmt::format("{} tables of costs.", file.groups("tco").size());
}

}  // namespace wb
