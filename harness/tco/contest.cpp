#include "harness/tco/contest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace wb::tco {
namespace {

using Figures = std::vector<std::vector<double>>;  // by row and trial; empty: the row has none

/// How often each row has the least.
std::vector<std::size_t> wins_of(const Figures& figures, std::size_t trials) {
    std::vector<std::size_t> out(figures.size(), 0);
    for (std::size_t t = 0; t < trials; ++t) {
        std::size_t best = figures.size();
        for (std::size_t i = 0; i < figures.size(); ++i)
            if (!figures[i].empty() && (best == figures.size() || figures[i][t] < figures[best][t])) best = i;
        if (best < figures.size()) ++out[best];
    }
    return out;
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

constexpr std::pair<const char*, Contest Uses::*> kinds[] = {
    {"cheapest", &Uses::cheapest}, {"fastest", &Uses::fastest}, {"coolest", &Uses::coolest}};

}  // namespace

std::vector<Contest::Entry> Contest::contenders() const {
    constexpr std::size_t most = 3;
    std::vector<Entry> out;
    double together = 0;
    for (const Entry& e : entries) {
        if (together >= decisive || out.size() == most) break;
        together += e.chance;
        out.push_back(e);
    }
    return out;
}

std::string Contest::verdict() const {
    std::string out;
    for (const Entry& e : contenders()) out += (out.empty() ? "" : " or ") + e.row->yield.name();
    return decided() || out.empty() ? out : "undecided: " + out;
}

std::string Contest::chances() const {
    std::string out;
    for (const Entry& e : contenders()) out += fmt::format("{}{:.0f} %", out.empty() ? "" : " or ", 100 * e.chance);
    return out;
}

Contest contest(const Study& study, const Group& group, const std::string& unit,
                const std::function<double(const Row&, const Unit&, std::size_t)>& of) {
    const std::size_t n = study.draws().trials();
    Figures figures;
    for (const Row* row : group.rows) {
        const Unit u = row->hour ? unit_of(*row, unit) : Unit{};
        std::vector<double> trials;
        for (std::size_t t = 0; !u.id.empty() && t < n; ++t) trials.push_back(of(*row, u, t));
        figures.push_back(std::move(trials));
    }
    const std::vector<std::size_t> wins = wins_of(figures, n);
    struct Tally {
        std::size_t all = 0, best = 0;  // wins of its rows together; the row with the most of them
    };
    std::map<std::string, Tally> systems;
    for (std::size_t i = 0; i < wins.size(); ++i) {
        if (wins[i] == 0) continue;
        const auto [at, fresh] = systems.emplace(group.rows[i]->yield.system, Tally{0, i});
        at->second.all += wins[i];
        if (!fresh && wins[i] > wins[at->second.best]) at->second.best = i;
    }
    Contest out;
    for (const auto& [system, tally] : systems)
        out.entries.push_back({group.rows[tally.best], static_cast<double>(tally.all) / static_cast<double>(n),
                               spread_of(figures[tally.best])});
    std::stable_sort(out.entries.begin(), out.entries.end(),
                     [](const Contest::Entry& a, const Contest::Entry& b) { return a.chance > b.chance; });
    return out;
}

std::vector<Uses> uses_of(const Study& study, const std::vector<Group>& groups) {
    std::vector<Uses> out;
    for (const Group& group : groups) {
        const std::string id = main_unit(group);
        if (id.empty()) continue;
        out.push_back({&group, contest(study, group, id, cost_each), contest(study, group, id, time_each),
                       contest(study, group, id, energy_each)});
    }
    return out;
}

std::string uses_text(const std::vector<Uses>& uses, const std::string& system) {
    std::string counts, surest;
    double best = 0;
    for (const auto& [word, kind] : kinds) {
        int won = 0, open = 0;
        for (const Uses& u : uses) {
            const Contest& c = u.*kind;
            for (const Contest::Entry& e : c.contenders()) {
                if (e.row->yield.system != system) continue;
                ++(c.decided() ? won : open);
                if (!c.decided() || e.chance <= best) continue;
                best = e.chance;
                surest = fmt::format("; {} in {} ({:.0f} %)", word, u.group->label, 100 * e.chance);
            }
        }
        if (won + open == 0) continue;
        counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", word, won);
        if (open > 0) counts += fmt::format(" (undecided {})", open);
    }
    return counts.empty() ? "none of these" : fmt::format("of {}: {}{}", uses.size(), counts, surest);
}

}  // namespace wb::tco
