// Reads and prints: compiled at -O1.
#include "harness/phase_table.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "core/units.hpp"
#include "harness/text_table.hpp"

namespace wb {
namespace {

struct Section {
    std::string title;
    std::vector<const Result*> results;
};

/// What was cut short is told as far as it came.
bool composed(const Result& r) {
    return (r.m.status == Status::ok || r.m.status == Status::timeout) && !r.m.phases.empty();
}

/// Results with phases by label, in the order of the run. Bounds are set beside what they bound, phase by phase; they
/// have rows of their own only where there is nothing else.
std::vector<Section> sections(const ResultSet& set, const std::string& filter) {
    std::vector<Section> out;
    for (const Result& r : set.results) {
        if (!composed(r) || (!filter.empty() && r.key.find(filter) == std::string::npos)) continue;
        auto at = std::find_if(out.begin(), out.end(), [&](const Section& s) { return s.title == r.label; });
        if (at == out.end()) at = out.insert(out.end(), {r.label, {}});
        at->results.push_back(&r);
    }
    const auto bound = [](const Result* r) { return r->m.kind == Kind::bound; };
    for (Section& s : out)
        if (!std::all_of(s.results.begin(), s.results.end(), bound)) std::erase_if(s.results, bound);
    return out;
}

Seconds total(const Result& r) {
    Seconds sum;
    for (const PhaseUse& p : r.m.phases) sum += p.time;
    return sum;
}

double share(const PhaseUse& p, Seconds all) { return all > Seconds(0) ? p.time / all : 0; }

const PhaseUse& longest(const Result& r) {
    return *std::max_element(r.m.phases.begin(), r.m.phases.end(),
                             [](const PhaseUse& a, const PhaseUse& b) { return a.time < b.time; });
}

std::string name_of(const Result& r) {
    std::string out = r.system;
    if (r.units > 1) out += fmt::format(" x{}", r.units);
    if (!r.mesh.empty()) out += " " + r.mesh;
    if (r.ranks > 1) out += fmt::format(", {} ranks", r.ranks);
    if (r.m.status == Status::timeout) out += ", cut short";
    return out;
}

/// " at 61 % of its ceiling"
std::string reached(const PhaseUse& p) {
    if (!(p.ceiling.time > Seconds(0) && p.time > Seconds(0))) return "";
    return fmt::format(" at {:.2g} % of its ceiling", 100 * (p.ceiling.time / p.time));
}

std::string rendered(const TextTable& table, Format format, bool colour) {
    switch (format) {
        case Format::markdown: return table.markdown();
        case Format::csv: return table.csv();
        case Format::json: return table.json();
        case Format::latex: return table.latex();
        default: return table.terminal(colour);
    }
}

/// Every phase of any of them, in the order of the first that has it.
std::vector<std::string> phase_names(const Section& section) {
    std::vector<std::string> names;
    for (const Result* r : section.results)
        for (const PhaseUse& p : r->m.phases)
            if (std::find(names.begin(), names.end(), p.name) == names.end()) names.push_back(p.name);
    return names;
}

/// "decides: train on host; compile on x, x x4"
std::string deciding(const Section& section) {
    std::vector<std::string> lines;  // by phase, in the order of the table
    for (const std::string& phase : phase_names(section)) {
        std::vector<std::string> systems;
        for (const Result* r : section.results)
            if (const std::string who = name_of(*r); longest(*r).name == phase)
                if (std::find(systems.begin(), systems.end(), who) == systems.end()) systems.push_back(who);
        if (!systems.empty()) lines.push_back(fmt::format("{} on {}", phase, fmt::join(systems, ", ")));
    }
    return fmt::format("decides: {}\n", fmt::join(lines, "; "));
}

std::string side_by_side(const Section& section, Format format, bool colour) {
    const std::vector<std::string> names = phase_names(section);
    std::vector<TextColumn> columns{{"system"}, {"backend"}, {"kind"}, {"all phases", Align::right, "", "s"}};
    for (const std::string& n : names) columns.push_back({n, Align::right, "", "s"});
    columns.push_back({"decides"});
    TextTable table(columns);
    table.section(section.title + ", phases");
    for (const Result* r : section.results) {
        const Seconds all = total(*r);
        const PhaseUse& most = longest(*r);
        std::vector<Cell> row{name_of(*r), r->backend, std::string(name(r->m.kind)), {wb::format(all), all.si()}};
        for (const std::string& n : names) {
            const auto p =
                std::find_if(r->m.phases.begin(), r->m.phases.end(), [&](const PhaseUse& x) { return x.name == n; });
            if (p == r->m.phases.end())
                row.emplace_back("");
            else
                row.push_back({fmt::format("{} {:3.0f} %", wb::format(p->time), 100 * share(*p, all)), p->time.si(),
                               p->name == most.name ? Emphasis::strong : Emphasis::none});
        }
        row.emplace_back(fmt::format("{}{}{}{}", most.name, most.limit.empty() ? "" : ": ", most.limit, reached(most)));
        table.row(std::move(row));
    }
    const std::string out = rendered(table, format, colour);
    if (format == Format::terminal) return out + deciding(section);
    return format == Format::markdown ? out + "\n" + deciding(section) : out;
}

std::string spread(const Result& r, const PhaseUse& p) {
    if (r.ranks < 2 || r.m.kind != Kind::measured || !(p.time > Seconds(0))) return "";
    return fmt::format("{:.1f} %", 100 * (1 - p.fastest / p.time));
}

std::string band(const Result& r, const PhaseUse& p) {
    if (r.m.kind == Kind::measured || r.m.kind == Kind::bound) return "";
    if (p.band.source.empty() && p.band.low == 1 && p.band.high == 1) return "unknown";
    return fmt::format("{:.2f}x..{:.2f}x", p.band.low, p.band.high);
}

/// Seconds of the same phase's bound on the same machine.
using PhaseBounds = std::map<std::string, double>;
std::string place(const Result& r, const PhaseUse& p) {
    return fmt::format("{}|{}|{}|{}", r.fingerprint, r.system, r.units, p.name);
}

/// A share of the time; empty where its part is unknown.
Cell part_of(Seconds part, Seconds time) {
    if (!(part > Seconds(0) && time > Seconds(0))) return Cell("");
    return {fmt::format("{:.2g} %", 100 * (part / time)), part / time};
}

/// "1.2 GB of DRAM, 3.4 GB of L3": from the outermost level inwards, two at most. No more than any program must move.
std::string least_traffic(const PhaseUse& p) {
    std::string out;
    int shown = 0;
    for (auto u = p.levels.rbegin(); u != p.levels.rend() && shown < 2; ++u, ++shown)
        out += fmt::format("{}{} of {}", out.empty() ? "" : ", ", format(u->traffic), u->level);
    return out;
}

Cell counted_traffic(const Result& r, const PhaseUse& p) {
    if (p.counted) return {wb::format(*p.counted), p.counted->si()};
    return r.m.kind == Kind::measured ? Cell("not counted", Emphasis::faint) : Cell("");
}

void detail_rows(TextTable& table, const Result& r, const PhaseBounds& bounds) {
    const Seconds all = total(r);
    for (const PhaseUse& p : r.m.phases) {
        const auto bound = bounds.find(place(r, p));
        std::vector<Cell> row{
            name_of(r),
            r.backend,
            std::string(name(r.m.kind)),
            p.name,
            {std::to_string(p.times), static_cast<double>(p.times)},
            {format(p.time), p.time.si(), p.name == longest(r).name ? Emphasis::strong : Emphasis::none},
            spread(r, p),
            {fmt::format("{:.1f} %", 100 * share(p, all)), share(p, all)}};
        row.push_back(p.memory > Bytes(0) ? Cell(format(p.memory), p.memory.si()) : Cell(""));
        row.push_back(p.communication > Bytes(0) ? Cell(format(p.communication), p.communication.si()) : Cell(""));
        row.push_back(p.exposed > Seconds(0) ? Cell(format(p.exposed), p.exposed.si()) : Cell(""));
        row.push_back(p.energy ? Cell(format(*p.energy), p.energy->si()) : Cell(""));
        row.push_back(bound == bounds.end() || r.m.kind == Kind::bound
                          ? Cell("")
                          : Cell(format(Seconds(bound->second)), bound->second));
        row.emplace_back(band(r, p));
        row.push_back(part_of(p.ceiling.compute, p.time));
        row.push_back(part_of(p.ceiling.time, p.time));
        row.emplace_back(least_traffic(p));
        row.push_back(counted_traffic(r, p));
        row.push_back({p.limit, Emphasis::faint});
        table.row(std::move(row));
    }
}

constexpr const char* traffic_note =
    "\nleast traffic: what no cache can spare a level of memory; computed from the graph, not measured.\ncounted: "
    "misses of the last-level cache in lines, from the processor's counters; without prefetches and "
    "write-backs. \"not counted\": the machine or the kernel gives no such counter.\n";

/// Whether there is anything measured, whose traffic could be counted.
bool counts(const ResultSet& set, const std::string& filter) {
    return std::any_of(set.results.begin(), set.results.end(), [&](const Result& r) {
        return composed(r) && r.m.kind == Kind::measured && (filter.empty() || r.key.find(filter) != std::string::npos);
    });
}

/// Messages of each phase by collective, where anybody spoke to anybody.
std::string phase_calls(const ResultSet& set, Format format, bool colour, const std::string& filter) {
    TextTable table({{"system"},
                     {"backend"},
                     {"phase"},
                     {"collective"},
                     {"over"},
                     {"calls", Align::right, "", "1"},
                     {"bytes", Align::right, "", "B"},
                     {"bytes a call", Align::right, "", "B"},
                     {"time", Align::right, "", "s"},
                     {"exposed", Align::right, "", "s"}});
    for (const Section& s : sections(set, filter)) {
        table.section(s.title + ", messages of all ranks");
        for (const Result* r : s.results)
            for (const PhaseUse& p : r->m.phases)
                for (const CommUse& u : p.collectives) {
                    const double each = u.calls > 0 ? u.bytes.si() / static_cast<double>(u.calls) : 0;
                    table.row({name_of(*r),
                               r->backend,
                               p.name,
                               u.operation,
                               u.fabric,
                               {std::to_string(u.calls), static_cast<double>(u.calls)},
                               {wb::format(u.bytes), u.bytes.si()},
                               {wb::format(Bytes(each)), each},
                               {wb::format(u.time), u.time.si()},
                               {wb::format(u.exposed), u.exposed.si()}});
                }
    }
    return table.empty() ? "" : rendered(table, format, colour);
}

}  // namespace

std::string show_phases(const ResultSet& set, Format format, bool colour, const std::string& filter) {
    std::string out;
    for (const Section& s : sections(set, filter)) out += (out.empty() ? "" : "\n") + side_by_side(s, format, colour);
    return out;
}

std::string show_phase_details(const ResultSet& set, Format format, bool colour, const std::string& filter) {
    TextTable table({{"system"},
                     {"backend"},
                     {"kind"},
                     {"phase"},
                     {"runs", Align::right, "", "1"},
                     {"time", Align::right, "", "s"},
                     {"ranks differ", Align::right},
                     {"share", Align::right, "", "1"},
                     {"memory", Align::right, "", "B"},
                     {"communication", Align::right, "", "B"},
                     {"exposed", Align::right, "", "s"},
                     {"energy", Align::right, "", "J"},
                     {"bound", Align::right, "", "s"},
                     {"band", Align::right},
                     {"MFU", Align::right, "", "1"},
                     {"of ceiling", Align::right, "", "1"},
                     {"least traffic", Align::right},
                     {"counted", Align::right, "", "B"},
                     {"limit"}});
    PhaseBounds bounds;
    for (const Result& r : set.results)
        if (composed(r) && r.m.kind == Kind::bound)
            for (const PhaseUse& p : r.m.phases) bounds[place(r, p)] = p.time.si();
    for (const Section& s : sections(set, filter)) {
        table.section(s.title);
        for (const Result* r : s.results) detail_rows(table, *r, bounds);
    }
    if (table.empty()) return "no phases: only composed workloads (pipeline, generate, checkpoint, coe) have them\n";
    std::string out = rendered(table, format, colour);
    if (format != Format::terminal && format != Format::markdown) return out;
    if (counts(set, filter)) out += traffic_note;
    if (const std::string calls = phase_calls(set, format, colour, filter); !calls.empty()) out += "\n" + calls;
    return out;
}

}  // namespace wb
