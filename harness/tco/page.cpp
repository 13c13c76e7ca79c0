// Reads and prints: compiled at -O1.
#include "harness/tco/page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace wb::tco {

std::string marks(const Book& book, const std::vector<char>& used, const std::string& today) {
    bool assumed = false, recalled = false, old = false;
    for (std::size_t i = 0; i < used.size(); ++i) {
        if (!used[i]) continue;
        const Assumption& a = book.all()[i];
        assumed = assumed || a.trust == Trust::assumption;
        recalled = recalled || a.trust == Trust::recalled;
        old = old || stale(a, today);
    }
    return std::string(assumed ? "a" : "") + (recalled ? "r" : "") + (old ? "s" : "");
}

std::string marks(const Yield& y) {
    return std::string(y.extrapolated ? "e" : y.band_unknown ? "u" : "") + (y.unjudged ? "n" : "");
}

std::vector<char> moved_by(const Study& study, const Row& row, const HourTrials& hours, double (*part)(const Hourly&)) {
    std::vector<char> out(hours.asked.size(), 0);
    std::vector<double> values = study.draws().modes();
    const double before = part(hours.mode);
    for (std::size_t i = 0; i < out.size(); ++i) {
        if (!hours.asked[i]) continue;
        const double kept = values[i];
        values[i] = kept != 0 ? 1.001 * kept : 0.001 * study.book().all()[i].high;
        out[i] = part(hourly_cost(row.bill, row.use, {values.data()})) != before;
        values[i] = kept;
    }
    return out;
}

std::string legend() {
    return fmt::format(
        "Letters beside a number: it is built on something a assumed, r recalled, s priced more than {} days ago; its "
        "time is a model's with e an extrapolated band, u no band at all, n too little published on that system and "
        "kind of work to judge it by: its band is that of systems the model had not seen. --table assumptions lists "
        "them all.",
        stale_days);
}

std::string figure(double v) {
    if (!std::isfinite(v)) return "-";
    const double size = std::abs(v);
    if (size == 0) return "0";
    if (size >= 1e12) return fmt::format("{:.2e}", v);
    for (const auto& [from, letter] : {std::pair{1e9, 'G'}, std::pair{1e6, 'M'}, std::pair{1e4, 'k'}})
        if (size >= 0.9995 * from) {
            const double scaled = v / (letter == 'k' ? 1e3 : from);
            return fmt::format("{:.{}f}{}", scaled,
                               std::abs(scaled) >= 99.95   ? 0
                               : std::abs(scaled) >= 9.995 ? 1
                                                           : 2,
                               letter);
        }
    const int digits = 2 - static_cast<int>(std::floor(std::log10(size) + 1e-9));
    return digits > 7 ? fmt::format("{:.2e}", v) : fmt::format("{:.{}f}", v, std::max(digits, 0));
}

std::vector<Cell> spread_cells(const Spread& s, const std::string& letters) {
    const auto cell = [](double v, Emphasis how) { return Cell(figure(v), v, how); };
    return {cell(s.median, Emphasis::strong), cell(s.low, Emphasis::none), cell(s.high, Emphasis::none),
            Cell(letters, Emphasis::caution)};
}

std::vector<TextColumn> spread_columns(const std::string& group, const std::string& unit) {
    return {{"median", Align::right, group, unit},
            {"5 %", Align::right, group, unit},
            {"95 %", Align::right, group, unit},
            {"on", Align::left, group}};
}

std::vector<Group> groups_of(const Study& study) {
    std::vector<Group> out;
    std::map<std::string, std::size_t> at;
    for (const Row& row : study.rows()) {
        const auto [place, fresh] = at.emplace(row.yield.label, out.size());
        if (fresh) out.push_back({row.yield.label, {}});
        out[place->second].rows.push_back(&row);
    }
    return out;
}

std::string main_unit(const Group& group) {
    for (const Row* row : group.rows)
        if (row->hour) return units_of(row->yield).front().id;
    return "";
}

Unit unit_of(const Row& row, const std::string& id) {
    for (const Unit& u : units_of(row.yield))
        if (u.id == id) return u;
    return {};
}

namespace {

/// In lines of at most 120 columns.
std::string wrapped(const std::string& text) {
    std::string out, line;
    std::size_t at = 0;
    while (at < text.size()) {
        const std::size_t end = std::min(text.find(' ', at), text.size());
        const std::string word = text.substr(at, end - at);
        at = end + 1;
        if (!line.empty() && line.size() + 1 + word.size() > 120) {
            out += line + "\n";
            line.clear();
        }
        line += (line.empty() ? "" : " ") + word;
    }
    return out + line + "\n";
}

}  // namespace

std::string pages_text(const std::vector<Page>& pages, Format format, bool colour) {
    if (format == Format::latex) return pages_latex(pages);
    std::string out;
    for (const Page& p : pages) {
        const bool first = &p == &pages.front();
        switch (format) {
            case Format::json: {
                std::string table = with_words(p.table).json();
                table.pop_back();
                out += fmt::format("{}\"{}\": {}", first ? "{" : ",\n", p.id, table);
                break;
            }
            case Format::csv: out += (first ? "" : "\n") + with_words(p.table).csv(); break;
            case Format::markdown:
                out += fmt::format("{}### {}\n\n{}", first ? "" : "\n", p.title, p.table.markdown());
                for (const std::string& n : p.notes) out += "\n" + n + "\n";
                break;
            case Format::terminal:
                out += fmt::format("{}{}\n{}", first ? "" : "\n", p.title, p.table.terminal(colour));
                for (const std::string& n : p.notes) out += wrapped(n);
                break;
            case Format::latex: break;  // returned above
        }
    }
    if (format == Format::json) out += "}\n";
    return out;
}

std::string pages_latex(const std::vector<Page>& pages) {
    constexpr std::size_t one_page = 40;  // rows
    std::string out = "% \\usepackage{adjustbox,booktabs,longtable}\n";
    for (const Page& p : pages) {
        if (p.table.rows() > one_page) {
            out += p.table.latex(p.title);
            for (const std::string& n : p.notes) out += "\\par " + in_latex(n) + "\n";
            continue;
        }
        out += fmt::format(
            "\\begin{{table}}\n\\caption{{{}}}\n\\begin{{adjustbox}}{{max width=\\linewidth}}\n{}\\end{{adjustbox}}\n",
            in_latex(p.title), p.table.latex());
        for (const std::string& n : p.notes) out += "\\par " + in_latex(n) + "\n";
        out += "\\end{table}\n";
    }
    return out;
}

}  // namespace wb::tco
