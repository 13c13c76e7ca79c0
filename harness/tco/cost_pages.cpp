// Reads and prints: compiled at -O1.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "harness/tco/pages.hpp"

namespace wb::tco {
namespace {

double capital(const Hourly& h) { return h.capital(); }
double upkeep(const Hourly& h) { return h.upkeep(); }
double energy(const Hourly& h) { return h.energy; }
double people(const Hourly& h) { return h.people(); }
double total(const Hourly& h) { return h.total(); }
double useful(const Hourly& h) { return h.useful(); }

struct Block {
    const char* name;
    double (*part)(const Hourly&);
    std::vector<double> HourTrials::*trials;
};
constexpr Block blocks[] = {{"capital", capital, &HourTrials::capital},
                            {"upkeep", upkeep, &HourTrials::upkeep},
                            {"power", energy, &HourTrials::energy},
                            {"people", people, &HourTrials::people}};

Cell number_cell(double v, const std::string& tail = "") { return {figure(v) + tail, v}; }

/// What is sold by the second, and what it takes.
void rate_cells(const Row& row, const Unit& unit, std::vector<Cell>& cells) {
    const double natural = unit.amount * unit.scale, rate = natural / row.yield.run_s;
    const Hourly& h = row.hour->mode;
    cells.push_back(number_cell(h.power_W * row.yield.units * row.yield.run_s / natural));
    cells.push_back(number_cell(rate));
    cells.push_back(number_cell(rate / (row.yield.units * h.provisioned_W / 1e6)));
    cells.push_back(number_cell(rate / (row.yield.units * h.racks)));
    cells.push_back(number_cell(rate / (row.yield.units * h.area_m2)));
}

constexpr std::pair<const char*, const char*> other_units[] = {{"usd_per_Mtok_in", "in"},
                                                               {"usd_per_Mtok", "all"},
                                                               {"usd_per_training", "training"},
                                                               {"usd_per_PFLOP", "PFLOP"},
                                                               {"usd_per_run", "run"}};

/// Those that some row has.
std::vector<std::pair<const char*, const char*>> columns_of(const Study& study) {
    std::vector<std::pair<const char*, const char*>> out;
    for (const auto& u : other_units)
        if (std::any_of(study.rows().begin(), study.rows().end(),
                        [&](const Row& r) { return r.hour && !unit_of(r, u.first).id.empty(); }))
            out.push_back(u);
    return out;
}

std::vector<Cell> cost_row(const Study& study, const Row& row, const std::string& id, double chance,
                           const std::string& today) {
    std::vector<Cell> cells{row.yield.name(), std::string(name(row.yield.kind))};
    const Unit main = row.hour ? unit_of(row, id) : Unit{};
    if (main.id.empty()) {
        cells.push_back({fit(row.yield.reason, 60), Emphasis::faint});
        return cells;
    }
    cells.push_back(row.yield.mapping);
    const std::string letters = marks(study.book(), row.hour->asked, today) + marks(row.yield);
    const Spread cost = spread_of(row.cost_trials(main));
    for (Cell& c : spread_cells(cost, letters)) cells.push_back(std::move(c));
    cells.push_back({fmt::format("{:.0f} %", 100 * chance), chance});
    for (const auto& [other, name] : columns_of(study)) {
        const Unit u = unit_of(row, other);
        cells.push_back(u.id.empty() ? Cell("") : number_cell(cost.median * main.amount / u.amount));
    }
    rate_cells(row, main, cells);
    return cells;
}

}  // namespace

Page hours_page(const Study& study, const std::string& today) {
    std::vector<TextColumn> columns{{"system"}, {"use"}};
    for (const TextColumn& c : spread_columns("USD/h of a unit, paid", "USD/h")) columns.push_back(c);
    for (const Block& b : blocks) {
        columns.push_back({b.name, Align::right, "of it", "USD/h"});
        columns.push_back({"", Align::left, "of it"});
    }
    for (const TextColumn& c : spread_columns("USD/h of a unit, in use", "USD/h")) columns.push_back(c);
    Page page{"hours", fmt::format("Cost of an hour, preset {}", study.book().preset()), TextTable(columns), {}};
    std::set<std::string> shown;
    for (const Row& row : study.rows()) {
        if (!row.hour || !shown.insert(fmt::format("{} {}", row.yield.name(), row.use.coupled)).second) continue;
        const auto letters = [&](double (*part)(const Hourly&)) {
            return marks(study.book(), moved_by(study, row, *row.hour, part), today);
        };
        std::vector<Cell> cells{row.yield.name() + (row.bill.rented ? ", rented" : ""),
                                row.use.coupled ? "training" : "serving"};
        for (Cell& c : spread_cells(spread_of(row.hour->total), letters(total))) cells.push_back(std::move(c));
        for (const Block& b : blocks) {
            const double v = spread_of((*row.hour).*b.trials).median;
            cells.push_back(number_cell(v));
            cells.push_back({letters(b.part), Emphasis::caution});
        }
        for (Cell& c : spread_cells(spread_of(row.hour->useful), letters(useful))) cells.push_back(std::move(c));
        page.table.row(std::move(cells));
    }
    page.notes.push_back(
        "Upkeep holds support, replacement and what failures waste. Medians of the parts need not add up to the median "
        "of the whole; in every trial they do. An hour in use is a paid one over the utilisation. Energy is "
        "the average draw (provisioned power x load, unless measured) x PUE.");
    return page;
}

Page costs_page(const Study& study, const std::string& today) {
    std::vector<TextColumn> columns{{"system"}, {"kind"}, {"mapping"}};
    for (const TextColumn& c : spread_columns("USD for one", "USD")) columns.push_back(c);
    columns.push_back({"cheapest", Align::right, "", "1"});
    for (const auto& [id, name] : columns_of(study)) columns.push_back({name, Align::right, "USD, median", "USD"});
    for (const char* c : {"J each", "per s", "per s, MW", "per s, rack", "per s, m2"})
        columns.push_back({c, Align::right, "of it"});
    Page page{"costs", fmt::format("Unit costs, preset {}", study.book().preset()), TextTable(columns), {}};
    for (const Group& group : groups_of(study)) {
        const std::string id = main_unit(group);
        const Row* first = nullptr;
        for (const Row* row : group.rows)
            if (row->hour && !first) first = row;
        page.table.section(group.label + (first ? ": " + unit_of(*first, id).name : ""));
        const std::vector<double> chances = chances_of_cheapest(group, id);
        for (std::size_t i = 0; i < group.rows.size(); ++i)
            page.table.row(cost_row(study, *group.rows[i], id, chances[i], today));
    }
    page.notes.push_back(
        "Each figure charges the whole cost to that one product; in, out, all: a million tokens. J: average power "
        "without the hall. MW: provisioned power x PUE. \"cheapest\": part of the trials in which the row is.");
    return page;
}

std::vector<double> chances_of_cheapest(const Group& group, const std::string& unit) {
    std::vector<std::vector<double>> costs;
    for (const Row* row : group.rows) {
        const Unit own = row->hour ? unit_of(*row, unit) : Unit{};
        costs.push_back(own.id.empty() ? std::vector<double>{} : row->cost_trials(own));
    }
    std::vector<double> out(costs.size(), 0);
    std::size_t trials = 0;
    for (const auto& c : costs) trials = std::max(trials, c.size());
    for (std::size_t t = 0; t < trials; ++t) {
        std::size_t best = costs.size();
        for (std::size_t i = 0; i < costs.size(); ++i)
            if (!costs[i].empty() && (best == costs.size() || costs[i][t] < costs[best][t])) best = i;
        if (best < costs.size()) out[best] += 1.0 / static_cast<double>(trials);
    }
    return out;
}

Page assumptions_page(const Study& study, const std::string& today) {
    Page page{"assumptions",
              "Assumptions these tables are built on",
              TextTable({{"key"},
                         {"low .. mode .. high"},
                         {"confidence"},
                         {"date"},
                         {"age", Align::right, "", "day"},
                         {"source"},
                         {"note"}}),
              {}};
    std::vector<char> used(study.book().all().size(), 0);
    for (const Row& row : study.rows())
        for (std::size_t i = 0; row.hour && i < used.size(); ++i) used[i] |= row.hour->asked[i];
    static constexpr const char* words[] = {"high", "medium", "low", "recalled", "assumption"};
    for (std::size_t i = 0; i < used.size(); ++i) {
        if (!used[i]) continue;
        const Assumption& a = study.book().all()[i];
        const auto days = days_between(a.date, today);
        const bool weak = a.trust >= Trust::recalled;
        page.table.row(
            {a.key,
             a.text,
             {words[static_cast<int>(a.trust)], weak ? Emphasis::caution : Emphasis::none},
             a.date,
             days ? Cell(fmt::format("{}{}", *days, stale(a, today) ? " stale" : ""), static_cast<double>(*days))
                  : Cell(""),
             a.source,
             {a.note, Emphasis::faint}});
    }
    return page;
}

}  // namespace wb::tco
