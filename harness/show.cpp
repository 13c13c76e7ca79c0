// Reads and prints: compiled at -O1.
#include "harness/show.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/units.hpp"
#include "harness/answers_table.hpp"
#include "harness/phase_table.hpp"
#include "harness/scaling_table.hpp"
#include "harness/stats.hpp"
#include "harness/sweep_table.hpp"
#include "harness/text_table.hpp"
#include "harness/validate/bands.hpp"

namespace wb {
namespace {

using Bounds = std::map<std::string, double>;  // fingerprint|system|units|mesh -> seconds of the bound

/// A bound is of the whole machine, not of a corner of its mesh.
std::string place(const Result& r) { return fmt::format("{}|{}|{}|{}", r.fingerprint, r.system, r.units, r.mesh); }

bool usable(const Result& r) { return r.m.status == Status::ok && !r.m.samples_s.empty(); }

Bounds bounds_of(const ResultSet& set) {
    Bounds b;
    for (const Result& r : set.results)
        if (r.m.kind == Kind::bound && usable(r)) b[place(r)] = r.median_s();
    return b;
}

/// The measured time other rows are set beside: the first measured one of the same workload.
std::map<std::string, double> measured_of(const ResultSet& set) {
    std::map<std::string, double> m;
    for (const Result& r : set.results)
        if (r.m.kind == Kind::measured && usable(r)) m.emplace(r.fingerprint, r.median_s());
    return m;
}

std::string digits(double v) {
    return v >= 100 ? fmt::format("{:.0f}", v) : v >= 10 ? fmt::format("{:.1f}", v) : fmt::format("{:.2g}", v);
}

std::string spread(const Result& r, const Summary& s) {
    if (r.m.kind != Kind::measured) return band_text(r.m);
    if (s.n < 2) return "1 run";
    return fmt::format("{:.1f} %", 50 * (s.median_interval.high - s.median_interval.low) / s.median);
}

Cell rate_cell(const Result& r, double t) {
    if (r.flops > 0) return {format(FlopsPerSecond(r.flops / t)), r.flops / t};
    if (r.compulsory_bytes <= 0) return {};
    return {format(BytesPerSecond(r.compulsory_bytes / t)), r.compulsory_bytes / t};
}

std::string name_of(const Result& r) {
    std::string out = r.system;
    if (r.units > 1) out += fmt::format(" x{}", r.units);
    if (!r.mesh.empty()) out += " " + r.mesh;
    if (r.ranks > 1) out += fmt::format(", {} ranks", r.ranks);
    return out;
}

void wide_cells(const Result& r, std::vector<Cell>& row) {
    const Verification& v = r.m.verification;
    row.emplace_back(v.done ? fmt::format("{:.1e} <= {:.1e}", v.error, v.tolerance) : "");
    double peak = 0, bytes = 0;
    for (const MemoryUse& u : r.m.memory)
        if (!u.level.starts_with("process")) peak += u.peak.si();
    for (const CommUse& u : r.m.communication) bytes += u.bytes.si();
    row.push_back({peak > 0 ? format(Bytes(peak)) : "", peak});
    row.push_back({bytes > 0 ? format(Bytes(bytes)) : "", bytes});
    row.emplace_back(r.m.resolved_dtype);
}

/// What the table has beside its fixed columns.
struct Extra {
    bool wide = false, ceiling = false;
};

std::vector<Cell> row_of(const Result& r, const Bounds& bounds, const std::map<std::string, double>& measured,
                         const Extra& extra) {
    std::vector<Cell> row{{name_of(r), r.m.kind == Kind::measured ? Emphasis::strong : Emphasis::none},
                          r.backend,
                          std::string(name(r.m.kind))};
    if (!usable(r)) {
        const Emphasis how = r.m.status == Status::skipped ? Emphasis::faint : Emphasis::bad;
        row.push_back({std::string(name(r.m.status)), how});
        for (int i = 0; i < 4 + (extra.ceiling ? 1 : 0) + (extra.wide ? 4 : 0); ++i) row.emplace_back("");
        row.push_back({r.m.reason, how});
        return row;
    }
    const Summary s = summarise(r.m.samples_s);
    row.push_back(
        {format(Seconds(s.median)), s.median, r.m.kind == Kind::measured ? Emphasis::strong : Emphasis::none});
    row.emplace_back(spread(r, s));
    row.push_back(rate_cell(r, s.median));
    const auto bound = bounds.find(place(r));
    const bool own = r.m.kind == Kind::bound || bound == bounds.end();
    row.push_back(own ? Cell("")
                      : Cell(fmt::format("{:.0f} %", 100 * bound->second / s.median), bound->second / s.median));
    if (extra.ceiling) {
        const double part = r.m.ceiling.time.si() / s.median;
        row.push_back(part > 0 ? Cell(fmt::format("{:.0f} %", 100 * part), part) : Cell(""));
    }
    const auto base = measured.find(r.fingerprint);
    const bool first = base == measured.end() || base->second == s.median;
    const double ratio = first ? 1 : base->second / s.median;
    row.push_back(first ? Cell("")
                        : Cell(fmt::format("{}{}x", r.m.kind == Kind::bound ? "<= " : "", digits(ratio)), ratio));
    if (extra.wide) wide_cells(r, row);
    row.push_back({r.m.detail, Emphasis::faint});
    return row;
}

/// What some workloads have besides: phases, sweeps, scaling, answers.
std::string further_tables(const ResultSet& set, Format format, bool colour, const std::string& filter) {
    std::string out;
    for (const auto show : {show_phases, show_sweeps, show_scaling, show_answers})
        if (const std::string table = show(set, format, colour, filter); !table.empty()) out += "\n" + table;
    return out;
}

}  // namespace

std::string show_results(const ResultSet& set, Format format, bool colour, bool wide, const std::string& filter) {
    std::vector<TextColumn> columns{{"system"},
                                    {"backend"},
                                    {"kind"},
                                    {"time", Align::right, "", "s"},
                                    {"+-", Align::right},
                                    {"rate", Align::right, "", "FLOP/s or B/s"},
                                    {"of bound", Align::right, "", "1"}};
    const Extra extra{wide, std::any_of(set.results.begin(), set.results.end(),
                                        [](const Result& r) { return r.m.ceiling.time > Seconds(0); })};
    if (extra.ceiling) columns.push_back({"of ceiling", Align::right, "", "1"});
    columns.push_back({"vs measured", Align::right, "", "1"});
    if (wide)
        for (const char* c : {"error", "memory", "communication", "dtype"}) columns.push_back({c, Align::right});
    columns.push_back({"limit, library or reason"});
    TextTable table(columns);
    const Bounds bounds = bounds_of(set);
    const auto measured = measured_of(set);
    std::vector<std::string> order;
    std::map<std::string, std::vector<const Result*>> sections;
    for (const Result& r : set.results) {
        if (!filter.empty() && r.key.find(filter) == std::string::npos) continue;
        const std::string title = r.label;
        if (!sections.contains(title)) order.push_back(title);
        sections[title].push_back(&r);
    }
    for (const std::string& title : order) {
        table.section(title);
        for (const Result* r : sections[title]) table.row(row_of(*r, bounds, measured, extra));
    }
    switch (format) {
        case Format::markdown: return table.markdown() + further_tables(set, format, colour, filter);
        case Format::csv: return table.csv();
        case Format::json: return table.json();
        case Format::latex: return table.latex() + further_tables(set, format, colour, filter);
        default: return table.terminal(colour) + further_tables(set, format, colour, filter);
    }
}

std::string band_text(const Measurement& m) {
    if (m.kind == Kind::measured || m.kind == Kind::bound) return "";
    if (m.band.source.empty()) return "unknown";
    const char* weak = is_unseen(m.band) ? " unseen" : is_extrapolated(m.band) ? " extrapolated" : "";
    return fmt::format("{:.2f}x..{:.2f}x{}", m.band.low, m.band.high, weak);
}

std::string summary_line(const ResultSet& set) {
    std::map<Status, int> count;
    for (const Result& r : set.results) ++count[r.m.status];
    std::string out = fmt::format("{} cases:", set.results.size());
    for (const auto& [status, n] : count) out += fmt::format(" {} {}", n, name(status));
    return out;
}

}  // namespace wb
