// Reads and prints: compiled at -O1.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <initializer_list>
#include <set>
#include <sstream>

#include "core/units.hpp"
#include "harness/tco/contest.hpp"
#include "harness/tco/effort.hpp"
#include "harness/tco/pages.hpp"
#include "harness/tco/parity.hpp"

namespace wb::tco {
namespace {

/// Kind, band and letters: the band as factors of a rate, or of a time.
std::string with_kind(const Row& row, bool time) {
    const Yield& y = row.yield;
    std::string out(name(y.kind));
    if (y.low < 1 || y.high > 1)
        out += fmt::format(" {:.2f}x..{:.2f}x", time ? y.low : 1 / y.high, time ? y.high : 1 / y.low);
    const std::string letters = marks(y);
    return letters.empty() ? out : out + " " + letters;
}

/// The best stored rate of work of a unit on a workload, and the row it is from.
const Row* best_rate(const Study& study, const std::string& system, const std::string& workload) {
    const Row* best = nullptr;
    const auto rate = [](const Row& r) { return r.yield.flops / r.yield.run_s / r.yield.units; };
    for (const Row& row : study.rows())
        if (row.hour && row.yield.system == system && row.yield.workload == workload && row.yield.flops > 0 &&
            (!best || rate(row) > rate(*best)))
            best = &row;
    return best;
}

Cell rate_cell(const Row* row, double peak) {
    if (!row) return Cell("-");
    const double rate = row->yield.flops / row->yield.run_s / row->yield.units;
    const std::string part = peak > 0 ? fmt::format(" {:.0f} %", 100 * rate / peak) : "";
    return {fmt::format("{}{}, {}", format(FlopsPerSecond(rate)), part, with_kind(*row, false)), rate};
}

/// What a vendor states has no band: how far its source can be relied on stands in its place.
std::string stated(std::initializer_list<const Fact*> facts) {
    static constexpr const char* worst_first[] = {"low", "medium", "high"};
    for (const char* word : worst_first)
        for (const Fact* f : facts)
            if (f && f->confidence == word) return fmt::format(", stated ({})", word);
    return ", stated";
}

Cell peak_cell(const System& s) {
    const auto at = s.native16 ? s.peak.find(*s.native16) : s.peak.end();
    if (at == s.peak.end()) return Cell("-");
    const double peak = at->second.value;
    return {format(FlopsPerSecond(peak)) + stated({&at->second}), peak};
}

Cell memory_cell(const System& s) {
    std::string out;
    for (const Memory& m : s.memories)
        if (m.capacity)
            out = fmt::format("{} {}{}{}", m.name, format(Bytes(m.capacity->value)),
                              m.bandwidth ? " at " + format(BytesPerSecond(m.bandwidth->value)) : "",
                              stated({&*m.capacity, m.bandwidth ? &*m.bandwidth : nullptr}));
    return Cell(out);
}

/// The shortest 99th percentile of the time to the first token among the stored loads.
Cell tail_cell(const Study& study, const std::string& system) {
    const Row* best = nullptr;
    for (const Row& row : study.rows())
        if (row.hour && row.yield.system == system && row.yield.tail_s &&
            (!best || *row.yield.tail_s < *best->yield.tail_s))
            best = &row;
    if (!best) return Cell("-");
    return {fmt::format("{}, {}", format(Seconds(*best->yield.tail_s)), with_kind(*best, true)), *best->yield.tail_s};
}

/// Whether a word of a mapping is something to choose: "tp8", "sp", "zero1", "1170x755".
bool is_choice(const std::string& word) {
    static constexpr std::array axes{"tp", "pp", "dp", "cp", "ep", "mb", "vp", "zero"};
    static constexpr std::array words{"sp", "selective", "recompute", "offload"};
    for (const char* axis : axes)
        if (word.starts_with(axis) && word.size() > std::strlen(axis) && std::isdigit(word[std::strlen(axis)]))
            return true;
    for (const char* w : words)
        if (word == w) return true;
    return std::isdigit(word[0]) && word.find('x') != std::string::npos;
}

/// What a user has to choose: what the richest mapping says, the options of the system file, the lines to write.
Cell complexity_cell(const Study& study, const System& s, const std::string& experiment) {
    std::size_t most = 0;
    for (const Row& row : study.rows()) {
        if (!row.hour || row.yield.system != s.id) continue;
        std::istringstream words(row.yield.mapping);
        std::size_t n = 0;
        for (std::string w; words >> w;) n += is_choice(w) ? 1 : 0;
        most = std::max(most, n);
    }
    const ExperimentLines lines = lines_of(experiment, s.id);
    const std::string written =
        lines.system > 0 ? fmt::format(", {} + {} lines", lines.workloads, lines.system) : std::string();
    return {fmt::format("{} of mapping, {} options{}; counted", most, s.options.size(), written),
            static_cast<double>(most + s.options.size())};
}

template <class Text>
Cell spread_cell(const std::vector<double>& trials, const std::string& letters, Text text) {
    const Spread s = spread_of(trials);
    return {fmt::format("{} [{} .. {}] {}", text(s.median), text(s.low), text(s.high), letters), s.median};
}

/// USD for an hour in use where the base of a daily demand is owned and its bursts are rented; per device of the mean.
Cell hybrid_cell(const Study& study, const std::vector<Demand>& demands, const Row& row, const std::string& today) {
    const auto prices = hour_prices(study, row);
    if (!prices) return row.bill.price < 0 ? "rented only" : "no price by the hour";
    std::vector<char> used = row.hour->asked;
    used[static_cast<std::size_t>(row.bill.rent)] = 1;
    for (const char* key : {"swing", "burst", "burst_time"}) used[static_cast<std::size_t>(study.book().need(key))] = 1;
    return spread_cell(hybrid_cost(demands, *prices), marks(study.book(), used, today), figure);
}

bool has_time(const Study& study, const std::string& system) {
    return std::any_of(study.rows().begin(), study.rows().end(),
                       [&](const Row& r) { return r.hour && r.yield.system == system; });
}

Page table_of_systems(const Study& study, const std::map<std::string, System>& systems, const std::vector<Uses>& uses,
                      const std::string& experiment, const std::string& today) {
    TextTable table({{"system"},
                     {"peak of a unit, 16-bit", Align::left, "", "FLOP/s", true},
                     {"achieved, matrix product", Align::left, "", "FLOP/s", true},
                     {"achieved, training", Align::left, "", "FLOP/s", true},
                     {"local memory"},
                     {"TTFT p99, best load", Align::left, "", "s", true},
                     {"to choose", Align::left, "", "1", true},
                     {"power of a unit, with PUE", Align::left, "", "W", true},
                     {"racks of a unit", Align::left, "", "1", true},
                     {"USD/h in use", Align::left, "", "USD/h", true},
                     {"USD/h, base owned, bursts rented", Align::left, "", "USD/h", true},
                     {"best use cases"}});
    const auto watts = [](double w) { return format(Watts(w)); };
    const std::vector<Demand> demands = demands_of(study);
    std::set<std::string> shown;
    for (const Row& row : study.rows()) {
        const auto s = systems.find(row.yield.system);
        if (s == systems.end() || shown.contains(row.yield.system) || (!row.hour && has_time(study, row.yield.system)))
            continue;
        shown.insert(row.yield.system);
        const HourTrials hours = row.hour ? *row.hour : study.hour_of(row.bill, row.use);
        const Cell peak = peak_cell(s->second);
        const auto letters = [&](double (*part)(const Hourly&)) {
            return marks(study.book(), moved_by(study, row, hours, part), today);
        };
        table.row(
            {row.yield.system, peak, rate_cell(best_rate(study, row.yield.system, "gemm"), peak.number.value_or(0)),
             rate_cell(best_rate(study, row.yield.system, "train"), peak.number.value_or(0)), memory_cell(s->second),
             tail_cell(study, row.yield.system), complexity_cell(study, s->second, experiment),
             spread_cell(hours.provisioned_W, letters([](const Hourly& h) { return h.provisioned_W; }), watts),
             spread_cell(hours.racks, letters([](const Hourly& h) { return h.racks; }), figure),
             spread_cell(hours.useful, marks(study.book(), hours.asked, today), figure),
             row.hour ? hybrid_cell(study, demands, row, today) : Cell("-"),
             row.hour ? uses_text(uses, row.yield.system) : "not available: " + row.yield.reason});
    }
    return {
        "systems",
        "Every system with numbers",
        std::move(table),
        {"Peaks are dense; what is stated has no band but the confidence in its source. Achieved: the best stored "
         "result, per unit, as part of the peak, with the kind of number and its band as factors of the rate; of TTFT "
         "factors of the time. Power, "
         "racks and USD: median [5 % .. 95 %] over the assumptions. To choose, counted: the words of the richest "
         "mapping, the options of the system file, the experiment's lines for its workloads + for this system; "
         "hours of developers enter only where you give them (--set port.SYSTEM=\"400 h\").",
         fmt::format("Best use cases are derived: in how many workloads the system is cheapest, fastest or coolest "
                     "in at least {:.0f} % of the trials; undecided: in how many it is among those that one cannot "
                     "tell apart.",
                     100 * decisive)}};
}

Page table_of_uses(const Study& study, const std::vector<Uses>& uses, const std::string& today) {
    TextTable table({{"workload"},
                     {"cheapest"},
                     {"in", Align::right, "cheapest", "1", true},
                     {"USD", Align::left, "", "USD", true},
                     {"fastest"},
                     {"in", Align::right, "fastest", "1", true},
                     {"time of one", Align::left, "", "s", true},
                     {"coolest"},
                     {"in", Align::right, "coolest", "1", true},
                     {"energy of one", Align::left, "", "J", true}});
    const auto cell = [](const Spread& f, const auto& text, const std::string& of, const Row& row,
                         const std::string& letters) {
        const std::string weak = letters + marks(row.yield);
        return Cell(fmt::format("{} [{} .. {}] / {}, {}{}", text(f.median), text(f.low), text(f.high), of,
                                name(row.yield.kind), weak.empty() ? "" : " " + weak),
                    f.median);
    };
    const auto in = [](const Contest& c) { return Cell(c.chances(), c.entries.front().chance); };
    for (const Uses& u : uses) {
        const Contest::Entry &cheap = u.cheapest.entries.front(), &fast = u.fastest.entries.front(),
                             &cool = u.coolest.entries.front();
        const Unit unit = unit_of(*cheap.row, main_unit(*u.group));
        const auto seconds = [&](double each) { return format(Seconds(each * unit.scale)); };
        const auto joules = [](double each) { return format(Joules(each)); };
        const std::string of = unit.name.substr(std::strlen("USD/"));
        const auto power = [](const Hourly& h) { return h.power_W; };
        table.row({u.group->label, u.cheapest.verdict(), in(u.cheapest),
                   cell(cheap.figure, figure, of, *cheap.row, marks(study.book(), cheap.row->hour->asked, today)),
                   u.fastest.verdict(), in(u.fastest), cell(fast.figure, seconds, of, *fast.row, ""),
                   u.coolest.verdict(), in(u.coolest),
                   cell(cool.figure, joules, unit.natural, *cool.row,
                        marks(study.book(), moved_by(study, *cool.row, *cool.row->hour, power), today))});
    }
    return {
        "uses",
        "Which system for which work",
        std::move(table),
        {fmt::format(
            "in: part of the trials. Undecided: none has it in {:.0f} % of them, the ones named have it "
            "together, or are the first three; of each system the size that is it most often. USD, time and energy: "
            "of the first one named, in CSV, JSON and HDF5 for one token or PFLOP.",
            100 * decisive)}};
}

}  // namespace

std::vector<Page> systems_pages(const Study& study, const std::map<std::string, System>& systems,
                                const std::string& experiment, const std::string& today) {
    const std::vector<Group> groups = groups_of(study);
    const std::vector<Uses> uses = uses_of(study, groups);
    std::vector<Page> out;
    out.push_back(table_of_systems(study, systems, uses, experiment, today));
    out.push_back(table_of_uses(study, uses, today));
    return out;
}

}  // namespace wb::tco
