// Reads and prints: compiled at -O1.
#include "harness/text_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.hpp"

namespace wb {
namespace {

struct Character {
    std::size_t bytes;
    char32_t code;
};

/// The first character of non-empty text; a stray byte is a character of its own.
Character first_character(std::string_view text) {
    const auto lead = static_cast<unsigned char>(text[0]);
    const std::size_t bytes = lead < 0x80 ? 1 : lead >> 5 == 0x6 ? 2 : lead >> 4 == 0xE ? 3 : lead >> 3 == 0x1E ? 4 : 0;
    if (bytes == 0 || bytes > text.size()) return {1, U'?'};
    char32_t code = bytes == 1 ? lead : lead & (0x7Fu >> bytes);
    for (std::size_t i = 1; i < bytes; ++i) {
        const auto next = static_cast<unsigned char>(text[i]);
        if (next >> 6 != 2) return {1, U'?'};
        code = code << 6 | (next & 0x3Fu);
    }
    return {bytes, code};
}

struct CodeRange {
    char32_t first, last;
};

// Blocks whose characters are all of one width (Unicode 15: general category Mn, EastAsianWidth W and F).
constexpr std::array zero_width{CodeRange{0x300, 0x36F},   CodeRange{0x483, 0x489},   CodeRange{0x200B, 0x200F},
                                CodeRange{0x20D0, 0x20F0}, CodeRange{0xFE00, 0xFE0F}, CodeRange{0xFE20, 0xFE2F}};
constexpr std::array double_width{
    CodeRange{0x1100, 0x115F},   CodeRange{0x2E80, 0x303E},   CodeRange{0x3041, 0x33FF},  CodeRange{0x3400, 0x4DBF},
    CodeRange{0x4E00, 0x9FFF},   CodeRange{0xA000, 0xA4CF},   CodeRange{0xAC00, 0xD7A3},  CodeRange{0xF900, 0xFAFF},
    CodeRange{0xFE30, 0xFE6F},   CodeRange{0xFF00, 0xFF60},   CodeRange{0xFFE0, 0xFFE6},  CodeRange{0x1F300, 0x1F64F},
    CodeRange{0x1F680, 0x1F6FF}, CodeRange{0x1F900, 0x1F9FF}, CodeRange{0x20000, 0x3FFFD}};

std::size_t width_of(char32_t code) {
    const auto within = [code](const CodeRange& r) { return r.first <= code && code <= r.last; };
    if (std::any_of(zero_width.begin(), zero_width.end(), within)) return 0;
    return std::any_of(double_width.begin(), double_width.end(), within) ? 2 : 1;
}

std::string padded(const std::string& text, Align align, std::size_t width) {
    const std::size_t used = display_width(text), gap = width > used ? width - used : 0;
    const std::size_t left = align == Align::left ? 0 : align == Align::right ? gap : gap / 2;
    return std::string(left, ' ') + text + std::string(gap - left, ' ');
}

std::string_view ansi(Emphasis emphasis) {
    switch (emphasis) {
        case Emphasis::none: return "";
        case Emphasis::strong: return "\x1b[1m";
        case Emphasis::faint: return "\x1b[2m";
        case Emphasis::good: return "\x1b[32m";
        case Emphasis::caution: return "\x1b[33m";
        case Emphasis::bad: return "\x1b[31m";
    }
    return "";
}

/// Colours the text, not the blanks around it.
std::string coloured(const std::string& text, Emphasis emphasis, bool colour) {
    const auto first = text.find_first_not_of(' ');
    if (!colour || emphasis == Emphasis::none || first == std::string::npos) return text;
    const auto last = text.find_last_not_of(' ') + 1;
    return text.substr(0, first) + std::string(ansi(emphasis)) + text.substr(first, last - first) + "\x1b[0m" +
           text.substr(last);
}

void trim_end(std::string& line) { line.erase(line.find_last_not_of(' ') + 1); }

std::string in_markdown(const std::string& text, Emphasis emphasis = Emphasis::none) {
    std::string out;
    for (char c : text) {
        if (c == '|' || c == '\\') out += '\\';
        if (c == '\n')
            out += "<br>";
        else
            out += c;
    }
    const bool heavy = emphasis == Emphasis::strong || emphasis == Emphasis::bad;
    return heavy && !out.empty() ? "**" + out + "**" : out;
}

std::string in_csv(const std::string& text) {
    if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
    std::string out = "\"";
    for (char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
    return out + "\"";
}

std::string full_name(const TextColumn& column) {
    return column.group.empty() ? column.name : column.group + " " + column.name;
}

std::string in_csv(const Cell& cell) {
    if (!cell.number) return in_csv(cell.text);
    return std::isfinite(*cell.number) ? fmt::format("{}", *cell.number) : "";
}

}  // namespace

std::string in_latex(std::string_view text) {
    std::string out;
    for (char c : text) {
        if (c == '\\')
            out += "\\textbackslash{}";
        else if (c == '~' || c == '^')
            out += std::string("\\") + c + "{}";
        else if (std::string_view("&%$#_{}").find(c) != std::string_view::npos)
            out += std::string("\\") + c;
        else if (c == '<' || c == '>' || c == '|')  // other characters in LaTeX's oldest fonts
            out += c == '<' ? "\\textless{}" : c == '>' ? "\\textgreater{}" : "\\textbar{}";
        else if (c == '\n' || c == '\r')  // an empty line would end the paragraph, and with it the table
            out += ' ';
        else
            out += c;
    }
    return out;
}

std::size_t display_width(std::string_view text) {
    std::size_t width = 0;
    while (!text.empty()) {
        const Character c = first_character(text);
        width += width_of(c.code);
        text.remove_prefix(c.bytes);
    }
    return width;
}

std::string fit(std::string_view text, std::size_t width) {
    if (display_width(text) <= width) return std::string(text);
    if (width == 0) return "";
    std::size_t used = 0, bytes = 0;
    while (bytes < text.size()) {
        const Character c = first_character(text.substr(bytes));
        if (used + width_of(c.code) > width - 1) break;
        used += width_of(c.code);
        bytes += c.bytes;
    }
    return std::string(text.substr(0, bytes)) + "…";
}

TextTable::TextTable(std::vector<TextColumn> columns) : columns_(std::move(columns)) { WB_EXPECT(!columns_.empty()); }

void TextTable::section(std::string title) { sections_.push_back(std::move(title)); }

void TextTable::row(std::vector<Cell> cells) {
    WB_EXPECT(cells.size() <= columns_.size());
    cells.resize(columns_.size());
    rows_.push_back({sections_.size() - 1, std::move(cells)});
}

bool TextTable::grouped() const {
    return std::any_of(columns_.begin(), columns_.end(), [](const TextColumn& c) { return !c.group.empty(); });
}

std::vector<std::size_t> TextTable::widths() const {
    std::vector<std::size_t> width;
    for (const TextColumn& column : columns_) width.push_back(display_width(column.name));
    for (const Row& row : rows_)
        for (std::size_t i = 0; i < width.size(); ++i) width[i] = std::max(width[i], display_width(row.cells[i].text));
    // A group's name wider than its columns widens the last of them.
    for (std::size_t i = 0, end; i < columns_.size(); i = end) {
        std::size_t room = width[i];
        for (end = i + 1; end < columns_.size() && columns_[end].group == columns_[i].group; ++end)
            room += 2 + width[end];
        const std::size_t need = display_width(columns_[i].group);
        if (need > room) width[end - 1] += need - room;
    }
    return width;
}

std::string TextTable::terminal(bool colour) const {
    const std::vector<std::size_t> width = widths();
    std::string out, groups, names;
    for (std::size_t i = 0, end; i < columns_.size(); i = end) {
        std::size_t room = width[i];
        for (end = i + 1; end < columns_.size() && columns_[end].group == columns_[i].group; ++end)
            room += 2 + width[end];
        groups += (i ? "  " : "") + padded(columns_[i].group, Align::centre, room);
    }
    for (std::size_t i = 0; i < columns_.size(); ++i)
        names += (i ? "  " : "") + padded(columns_[i].name, columns_[i].align, width[i]);
    trim_end(groups);
    trim_end(names);
    if (grouped()) out += coloured(groups, Emphasis::strong, colour) + "\n";
    out += coloured(names, Emphasis::strong, colour) + "\n";
    std::size_t section = 0;
    for (const Row& row : rows_) {
        if (row.section != section) out += "\n" + coloured(sections_[row.section], Emphasis::strong, colour) + "\n";
        section = row.section;
        std::string line;
        for (std::size_t i = 0; i < width.size(); ++i)
            line += (i ? "  " : "") +
                    coloured(padded(row.cells[i].text, columns_[i].align, width[i]), row.cells[i].emphasis, colour);
        trim_end(line);
        out += line + "\n";
    }
    return out;
}

std::string TextTable::markdown() const {
    std::string head = "|", rule = "|", out;
    for (const TextColumn& column : columns_) {
        head += " " + in_markdown(full_name(column)) + " |";
        rule += column.align == Align::left ? " --- |" : column.align == Align::right ? " ---: |" : " :---: |";
    }
    std::string header = head + "\n" + rule + "\n";
    if (rows_.empty()) return header;
    for (std::size_t r = 0; r < rows_.size(); ++r) {
        const Row& row = rows_[r];
        if (r == 0 || row.section != rows_[r - 1].section) {
            if (r > 0) out += "\n";
            if (row.section > 0) out += "**" + in_markdown(sections_[row.section]) + "**\n\n";
            out += header;
        }
        out += "|";
        for (const Cell& cell : row.cells) out += " " + in_markdown(cell.text, cell.emphasis) + " |";
        out += "\n";
    }
    return out;
}

std::string TextTable::csv() const {
    const bool sectioned = sections_.size() > 1;
    std::string out = sectioned ? "section" : "";
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        const TextColumn& column = columns_[i];
        const std::string unit = column.unit.empty() ? "" : " [" + column.unit + "]";
        out += (i || sectioned ? "," : "") + in_csv(full_name(column) + unit);
    }
    out += "\n";
    for (const Row& row : rows_) {
        if (sectioned) out += in_csv(sections_[row.section]);
        for (std::size_t i = 0; i < columns_.size(); ++i)
            out += (i || sectioned ? "," : "") + (i < row.cells.size() ? in_csv(row.cells[i]) : "");
        out += "\n";
    }
    return out;
}

std::string TextTable::json() const {
    nlohmann::ordered_json columns = nlohmann::ordered_json::array(), rows = columns;
    for (const TextColumn& column : columns_)
        columns.push_back({{"name", column.name}, {"group", column.group}, {"unit", column.unit}});
    for (const Row& row : rows_) {
        nlohmann::ordered_json fields = nlohmann::ordered_json::object();
        if (sections_.size() > 1) fields["section"] = sections_[row.section];
        for (std::size_t i = 0; i < row.cells.size(); ++i) {
            const Cell& cell = row.cells[i];
            auto& field = fields[full_name(columns_[i])];
            if (!cell.number)
                field = cell.text;
            else if (std::isfinite(*cell.number))
                field = *cell.number;
            else
                field = nullptr;
        }
        rows.push_back(std::move(fields));
    }
    // Text from a file name may not be UTF-8; a replaced byte is better than no output.
    return nlohmann::ordered_json{{"columns", columns}, {"rows", rows}}.dump(
               2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) +
           "\n";
}

TextTable with_words(const TextTable& table) {
    std::vector<TextColumn> columns;
    for (const TextColumn& c : table.columns()) {
        columns.push_back(c);
        if (c.worded) columns.push_back({c.name + ", in words", Align::left, c.group});
    }
    TextTable out(columns);
    for (std::size_t r = 0; r < table.rows(); ++r) {
        const std::string& section = table.section_of(r);
        if (!section.empty() && (r == 0 || section != table.section_of(r - 1))) out.section(section);
        std::vector<Cell> cells;
        for (std::size_t c = 0; c < table.cells(r); ++c) {
            cells.push_back(table.cell(r, c));
            if (table.columns()[c].worded) cells.emplace_back(table.cell(r, c).text);
        }
        out.row(std::move(cells));
    }
    return out;
}

std::string TextTable::latex(const std::string& caption) const {
    const std::string environment = caption.empty() ? "tabular" : "longtable";
    std::string out = fmt::format("\\begin{{{}}}{{", environment), names;
    for (const TextColumn& column : columns_) {
        out += column.align == Align::left ? 'l' : column.align == Align::right ? 'r' : 'c';
        names += (names.empty() ? "" : " & ") + in_latex(full_name(column));
    }
    out += "}\n";
    if (!caption.empty()) out += fmt::format("\\caption{{{}}} \\\\\n", in_latex(caption));
    out += "\\toprule\n" + names + " \\\\\n\\midrule\n";
    if (!caption.empty()) out += "\\endhead\n";
    std::size_t section = 0;
    for (const Row& row : rows_) {
        if (row.section != section)
            out += fmt::format("\\addlinespace\n\\multicolumn{{{}}}{{l}}{{{}}} \\\\\n", columns_.size(),
                               in_latex(sections_[row.section]));
        section = row.section;
        // After \\ a bracket or a star belongs to it.
        if (!row.cells.empty() && (row.cells[0].text.starts_with('[') || row.cells[0].text.starts_with('*')))
            out += "{}";
        for (std::size_t i = 0; i < row.cells.size(); ++i) out += (i ? " & " : "") + in_latex(row.cells[i].text);
        out += " \\\\\n";
    }
    return out + fmt::format("\\bottomrule\n\\end{{{}}}\n", environment);
}

}  // namespace wb
