// Reads and prints: compiled at -O1.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstring>
#include <functional>
#include <set>
#include <sstream>

#include "core/units.hpp"
#include "harness/tco/pages.hpp"

namespace wb::tco {
namespace {

std::string with_kind(const Row& row) {
    const Yield& y = row.yield;
    std::string out(name(y.kind));
    if (y.low < 1 || y.high > 1) out += fmt::format(" {:.2f}x..{:.2f}x", 1 / y.high, 1 / y.low);
    const std::string letters = marks(y);
    return letters.empty() ? out : out + " " + letters;
}

/// Part of the trials in which each row has the least of a figure.
std::vector<double> chances_of_least(const std::vector<std::vector<double>>& figures, std::size_t trials) {
    std::vector<double> out(figures.size(), 0);
    for (std::size_t t = 0; t < trials; ++t) {
        std::size_t best = figures.size();
        for (std::size_t i = 0; i < figures.size(); ++i)
            if (!figures[i].empty() && (best == figures.size() || figures[i][t] < figures[best][t])) best = i;
        if (best < figures.size()) out[best] += 1.0 / static_cast<double>(trials);
    }
    return out;
}

struct Winner {
    const Row* row = nullptr;
    double chance = 0;
    Spread figure;
};

/// The row that most often has the least; `of` gives a row's figure by trial for one unit.
Winner least(const Study& study, const Group& group, const std::string& id,
             const std::function<double(const Row&, const Unit&, std::size_t)>& of) {
    std::vector<std::vector<double>> figures;
    for (const Row* row : group.rows) {
        const Unit u = row->hour ? unit_of(*row, id) : Unit{};
        std::vector<double> trials;
        for (std::size_t t = 0; !u.id.empty() && t < study.draws().trials(); ++t) trials.push_back(of(*row, u, t));
        figures.push_back(std::move(trials));
    }
    const std::vector<double> chance = chances_of_least(figures, study.draws().trials());
    const auto best = static_cast<std::size_t>(std::max_element(chance.begin(), chance.end()) - chance.begin());
    return {group.rows[best], chance[best], spread_of(figures[best])};
}

double time_each(const Row& row, const Unit& u, std::size_t t) {
    return row.yield.run_s * row.slowness[t] / (u.amount * u.scale);
}
double cost_each(const Row& row, const Unit& u, std::size_t t) {
    return row.hour->useful[t] * row.yield.units / 3600 * time_each(row, u, t) * u.scale;
}
double energy_each(const Row& row, const Unit& u, std::size_t t) {
    return row.hour->power_W[t] * row.yield.units * time_each(row, u, t);
}

struct Uses {
    const Group* group;
    Winner cheapest, fastest, coolest;
};

std::vector<Uses> uses_of(const Study& study, const std::vector<Group>& groups) {
    std::vector<Uses> out;
    for (const Group& group : groups) {
        const std::string id = main_unit(group);
        if (id.empty()) continue;
        out.push_back({&group, least(study, group, id, cost_each), least(study, group, id, time_each),
                       least(study, group, id, energy_each)});
    }
    return out;
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
    return {fmt::format("{}{}, {}", format(FlopsPerSecond(rate)), part, with_kind(*row)), rate};
}

Cell memory_cell(const System& s) {
    std::string out;
    for (const Memory& m : s.memories)
        if (m.capacity)
            out = fmt::format("{} {}{}", m.name, format(Bytes(m.capacity->value)),
                              m.bandwidth ? " at " + format(BytesPerSecond(m.bandwidth->value)) : "");
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
    return {fmt::format("{}, {}", format(Seconds(*best->yield.tail_s)), with_kind(*best)), *best->yield.tail_s};
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

/// What a user has to choose: what the richest mapping says, and the options of the system file.
Cell complexity_cell(const Study& study, const System& s) {
    std::size_t most = 0;
    for (const Row& row : study.rows()) {
        if (!row.hour || row.yield.system != s.id) continue;
        std::istringstream words(row.yield.mapping);
        std::size_t n = 0;
        for (std::string w; words >> w;) n += is_choice(w) ? 1 : 0;
        most = std::max(most, n);
    }
    return {fmt::format("{} of mapping, {} options", most, s.options.size()),
            static_cast<double>(most + s.options.size())};
}

/// In how many workloads the system wins, and where most surely.
std::string uses_text(const std::vector<Uses>& uses, const std::string& system) {
    std::string counts, best;
    double surest = 0;
    for (const auto& [word, part] :
         {std::pair{"cheapest", &Uses::cheapest}, {"fastest", &Uses::fastest}, {"coolest", &Uses::coolest}}) {
        int n = 0;
        for (const Uses& u : uses) {
            const Winner& w = u.*part;
            if (!w.row || w.row->yield.system != system) continue;
            ++n;
            if (w.chance <= surest) continue;
            surest = w.chance;
            best = fmt::format("{} in {} ({:.0f} %)", word, u.group->label, 100 * w.chance);
        }
        if (n > 0) counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", word, n);
    }
    return best.empty() ? "none of these" : fmt::format("{} of {}; {}", counts, uses.size(), best);
}

bool has_time(const Study& study, const std::string& system) {
    return std::any_of(study.rows().begin(), study.rows().end(),
                       [&](const Row& r) { return r.hour && r.yield.system == system; });
}

}  // namespace

std::vector<Page> systems_pages(const Study& study, const std::map<std::string, System>& systems,
                                const std::string& today) {
    TextTable table({{"system"},
                     {"peak of a unit, 16-bit", Align::right, "", "FLOP/s"},
                     {"achieved, matrix product"},
                     {"achieved, training"},
                     {"local memory"},
                     {"TTFT p99, best load"},
                     {"to choose"},
                     {"power", Align::right, "of a unit, with PUE", "W"},
                     {"racks", Align::right, "of a unit, with PUE", "1"},
                     {"USD/h in use"},
                     {"best use cases"}});
    const std::vector<Group> groups = groups_of(study);
    const std::vector<Uses> uses = uses_of(study, groups);
    std::set<std::string> shown;
    for (const Row& row : study.rows()) {
        const auto s = systems.find(row.yield.system);
        if (s == systems.end() || shown.contains(row.yield.system) || (!row.hour && has_time(study, row.yield.system)))
            continue;
        shown.insert(row.yield.system);
        const HourTrials hours = row.hour ? *row.hour : study.hour_of(row.bill, row.use);
        const auto type = s->second.native16;
        const double peak = type && s->second.peak.contains(*type) ? s->second.peak.at(*type).value : 0;
        const Hourly& h = hours.mode;
        const Spread hour = spread_of(hours.useful);
        table.row({row.yield.system,
                   peak > 0 ? Cell(format(FlopsPerSecond(peak)), peak) : Cell("-"),
                   rate_cell(best_rate(study, row.yield.system, "gemm"), peak),
                   rate_cell(best_rate(study, row.yield.system, "train"), peak),
                   memory_cell(s->second),
                   tail_cell(study, row.yield.system),
                   complexity_cell(study, s->second),
                   {format(Watts(h.provisioned_W)), h.provisioned_W},
                   {figure(h.racks), h.racks},
                   {fmt::format("{} [{} .. {}] {}", figure(hour.median), figure(hour.low), figure(hour.high),
                                marks(study.book(), hours.asked, today)),
                    hour.median},
                   row.hour ? uses_text(uses, row.yield.system) : "not available: " + row.yield.reason});
    }
    Page page{
        "systems",
        "Every system with numbers",
        std::move(table),
        {"Peaks are dense. Achieved: the best stored result, per unit, as part of the peak, with the kind of number "
         "and its band as factors of the rate. To choose: the words of the richest mapping and the options of the "
         "system file; hours of developers enter only where you give them (--set port.SYSTEM=\"400 h\").",
         "Best use cases are derived: in which workloads the system is cheapest, fastest or coolest most often, and in "
         "what part of the trials."}};
    TextTable table2({{"workload"},
                      {"cheapest"},
                      {"in", Align::right, "", "1"},
                      {"USD"},
                      {"fastest"},
                      {"in", Align::right, "fastest", "1"},
                      {"coolest"},
                      {"in", Align::right, "coolest", "1"},
                      {"J each", Align::right, "", "J"}});
    for (const Uses& u : uses) {
        const auto part = [](double chance) { return Cell(fmt::format("{:.0f} %", 100 * chance), chance); };
        const Spread& c = u.cheapest.figure;
        table2.row({u.group->label,
                    u.cheapest.row->yield.name(),
                    part(u.cheapest.chance),
                    {fmt::format("{} [{} .. {}] / {}", figure(c.median), figure(c.low), figure(c.high),
                                 unit_of(*u.cheapest.row, main_unit(*u.group)).name.substr(4)),
                     c.median},
                    u.fastest.row->yield.name(),
                    part(u.fastest.chance),
                    u.coolest.row->yield.name(),
                    part(u.coolest.chance),
                    {figure(u.coolest.figure.median), u.coolest.figure.median}});
    }
    Page uses_page{"uses", "Which system for which work", std::move(table2), {}};
    std::vector<Page> out;
    out.push_back(std::move(page));
    out.push_back(std::move(uses_page));
    return out;
}

}  // namespace wb::tco
