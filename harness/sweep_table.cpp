// Reads and prints: compiled at -O1.
#include "harness/sweep_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include "core/units.hpp"
#include "harness/text_table.hpp"

namespace wb {
namespace {

constexpr std::size_t fewest_values = 3;

/// Results alike but for the values of one parameter.
struct Sweep {
    std::string parameter;
    std::vector<std::string> values;     // ascending, words in the order of the run
    std::vector<const Result*> results;  // in the order of the run
};

using Words = std::vector<std::pair<std::string, std::string>>;  // parameter, value

Words words_of(const Result& r) {
    Words out;
    std::istringstream in(r.params);
    for (std::string word; in >> word;)
        if (const std::size_t at = word.find('='); at != std::string::npos)
            out.emplace_back(word.substr(0, at), word.substr(at + 1));
    return out;
}

std::string value_of(const Result& r, const std::string& parameter) {
    for (const auto& [name, value] : words_of(r))
        if (name == parameter) return value;
    return "";
}

std::optional<double> number(const std::string& text) {
    double v = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), v);
    if (read.ec != std::errc() || read.ptr != text.data() + text.size()) return {};
    return v;
}

bool of_numbers(const Sweep& s) {
    return std::all_of(s.values.begin(), s.values.end(), [](const std::string& v) { return number(v).has_value(); });
}

void sort_values(Sweep& s) {
    if (!of_numbers(s)) return;
    std::sort(s.values.begin(), s.values.end(),
              [](const std::string& a, const std::string& b) { return *number(a) < *number(b); });
}

/// Parameters whose text the title shows: those that the experiment names, which the label has.
std::string title(const Sweep& s) {
    const Result& r = *s.results.front();
    std::string out;
    std::istringstream in(r.label);
    for (std::string word; in >> word;) {
        const bool axis = word == s.parameter + "=" + value_of(r, s.parameter) || word == value_of(r, s.parameter);
        if (!axis) out += (out.empty() ? "" : " ") + word;
    }
    return fmt::format("{}: time by {}", out, s.parameter);
}

std::vector<Sweep> sweeps(const ResultSet& set, const std::string& filter) {
    std::vector<Sweep> all;
    std::map<std::string, std::size_t> known;
    for (const Result& r : set.results) {
        if (r.m.status != Status::ok || r.m.samples_s.empty() || r.m.kind == Kind::bound) continue;
        if (!filter.empty() && r.key.find(filter) == std::string::npos) continue;
        const Words words = words_of(r);
        for (const auto& [parameter, value] : words) {
            std::string others = r.workload;
            for (const auto& [name, of] : words)
                if (name != parameter) others += " " + name + "=" + of;
            const auto [at, fresh] = known.emplace(parameter + "|" + others, all.size());
            if (fresh) all.push_back({parameter, {}, {}});
            Sweep& s = all[at->second];
            s.results.push_back(&r);
            if (std::find(s.values.begin(), s.values.end(), value) == s.values.end()) s.values.push_back(value);
        }
    }
    std::erase_if(all, [](const Sweep& s) { return s.values.size() < fewest_values; });
    for (Sweep& s : all) sort_values(s);
    return all;
}

/// Seconds of a system and backend by value; of several mappings or meshes the fastest.
using Row = std::map<std::string, double>;

std::string name_of(const Result& r) {
    std::string out = r.system;
    if (r.units > 1) out += fmt::format(" x{}", r.units);
    if (r.ranks > 1) out += fmt::format(", {} ranks", r.ranks);
    return out;
}

TextTable table_of(const Sweep& s) {
    std::vector<TextColumn> columns{{"system"}, {"backend"}, {"kind"}};
    for (const std::string& v : s.values) columns.push_back({v, Align::right, "", "s"});
    if (of_numbers(s)) columns.push_back({"last / first", Align::right, "", "1"});
    TextTable table(columns);
    table.section(title(s));
    std::vector<std::pair<const Result*, Row>> rows;
    for (const Result* r : s.results) {
        auto at = std::find_if(rows.begin(), rows.end(), [&](const auto& x) {
            return name_of(*x.first) == name_of(*r) && x.first->backend == r->backend;
        });
        if (at == rows.end()) at = rows.insert(rows.end(), {r, {}});
        const auto [cell, fresh] = at->second.emplace(value_of(*r, s.parameter), r->median_s());
        if (!fresh) cell->second = std::min(cell->second, r->median_s());
    }
    for (const auto& [r, times] : rows) {
        std::vector<Cell> row{name_of(*r), r->backend, std::string(name(r->m.kind))};
        for (const std::string& v : s.values) {
            const auto t = times.find(v);
            row.push_back(t == times.end() ? Cell("-", Emphasis::faint) : Cell(format(Seconds(t->second)), t->second));
        }
        const auto first = times.find(s.values.front()), last = times.find(s.values.back());
        const bool both = first != times.end() && last != times.end();
        const double ratio = both ? last->second / first->second : 0;
        if (of_numbers(s)) row.push_back(both ? Cell(fmt::format("{:.3g}x", ratio), ratio) : Cell(""));
        table.row(std::move(row));
    }
    return table;
}

}  // namespace

std::string show_sweeps(const ResultSet& set, Format format, bool colour, const std::string& filter) {
    std::string out;
    for (const Sweep& s : sweeps(set, filter)) {
        const TextTable table = table_of(s);
        out += (out.empty() ? "" : "\n") + (format == Format::markdown ? table.markdown() : table.terminal(colour));
    }
    return out;
}

}  // namespace wb
