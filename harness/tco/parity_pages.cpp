#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/suggest.hpp"
#include "harness/tco/pages.hpp"
#include "harness/tco/parity.hpp"

namespace wb::tco {
namespace {

/// Whose price nobody published is asked what it may be.
bool is_subject(const Study& study, const Row& row, const std::string& subject) {
    if (!row.hour || row.bill.price < 0 || row.bill.rented) return false;
    if (!subject.empty()) return row.bill.device == subject;
    return study.book()[row.bill.price].trust == Trust::assumption;
}

void add(std::vector<Cell>& cells, const std::vector<double>& trials, const std::string& letters) {
    for (Cell& c : spread_cells(spread_of(trials), letters)) cells.push_back(std::move(c));
}

double part_above(const std::vector<double>& trials, double limit) {
    const auto n = std::count_if(trials.begin(), trials.end(), [limit](double v) { return v > limit; });
    return trials.empty() ? 0 : static_cast<double>(n) / static_cast<double>(trials.size());
}

void parity_row(const Study& study, const Row& row, const Row& other, const std::string& id, const std::string& today,
                Page& page) {
    const Unit unit = unit_of(row, id), other_unit = unit_of(other, id);
    if (unit.id.empty() || other_unit.id.empty()) return;
    const Parity p = parity(study, row, other, unit, other_unit);
    std::vector<char> used = row.hour->asked;
    for (std::size_t i = 0; i < used.size(); ++i) used[i] |= other.hour->asked[i];
    used[static_cast<std::size_t>(row.bill.price)] = 0;  // what is asked for is not built on
    const std::string letters = marks(study.book(), used, today) + marks(row.yield);
    std::vector<Cell> cells{row.yield.name(), other.yield.name()};
    add(cells, p.price, letters);
    const double possible = part_above(p.price, 0);
    cells.push_back({fmt::format("{:.0f} %", 100 * possible), possible});
    const Assumption& price = study.book()[row.bill.price];
    cells.push_back({figure(price.mode), price.mode});
    cells.push_back({figure(spread_of(p.speedup).median) + "x", spread_of(p.speedup).median});
    const double busy = spread_of(p.utilisation).median;
    cells.push_back({busy > 1 ? "never" : fmt::format("{:.0f} %", 100 * busy), busy});
    page.table.row(std::move(cells));
}

}  // namespace

Page parity_page(const Study& study, const std::string& subject, const std::string& today) {
    const std::string device = subject.empty() ? "" : study.book().device(subject);
    std::vector<TextColumn> columns{{"system"}, {"level with"}};
    for (const TextColumn& c : spread_columns("price of one unit at parity, USD", "USD")) columns.push_back(c);
    columns.push_back({"above 0", Align::right, "", "1"});
    columns.push_back({"price now", Align::right, "else, at its price now", "USD"});
    columns.push_back({"speed-up", Align::right, "else, at its price now", "1"});
    columns.push_back({"or busy", Align::right, "else, at its price now", "1"});
    Page page{"parity", "What a system may cost to be level with another", TextTable(columns), {}};
    for (const Group& group : groups_of(study)) {
        const std::string id = main_unit(group);
        bool titled = false;
        for (const Row* row : group.rows) {
            if (!is_subject(study, *row, device)) continue;
            for (const Row* other : group.rows) {
                if (!other->hour || other->bill.device == row->bill.device) continue;
                if (!titled) page.table.section(fmt::format("{}: {}", group.label, unit_of(*row, id).name));
                titled = true;
                parity_row(study, *row, *other, id, today, page);
            }
        }
    }
    page.notes.push_back(
        "No list price of these systems is public, so the price at which both cost the same for the same product comes "
        "first; below zero not even a gift is level. Else, at the price now assumed: how many times as fast it must "
        "be, or what part of its hours it must be busy while the other keeps its own utilisation.");
    return page;
}

Page rent_page(const Study& study, const std::string& today) {
    std::vector<TextColumn> columns{{"system"}};
    for (const char* g : {"own, USD/h", "rent, USD/h"}) columns.push_back({"median", Align::right, g, "USD/h"});
    for (const TextColumn& c : spread_columns("own if busy for more than", "1")) columns.push_back(c);
    for (const char* g : {"own", "rent all", "own all"})
        columns.push_back({g, Align::right, "hybrid: best split of a daily demand", "1"});
    columns.push_back({"rows"});
    Page page{"rent", "Own, rent, or own the base load and rent the bursts", TextTable(columns), {}};
    std::set<std::string> shown;
    const Book& book = study.book();
    for (const Row& row : study.rows()) {
        const auto prices = hour_prices(study, row);
        if (!prices || !shown.insert(row.bill.device).second) continue;
        std::vector<double> busy, owned, all_rent, all_own;
        for (std::size_t t = 0; t < prices->own.size(); ++t) {
            const double* v = study.draws().trial(t);
            const double own = prices->own[t], rent = prices->rent[t];
            const Demand d = daily_demand(v[book.need("swing")], v[book.need("burst")], v[book.need("burst_time")]);
            const Split s = best_split(d, own, rent);
            busy.push_back(own / rent);
            owned.push_back(s.owned);
            all_rent.push_back(split_cost(d, 0, own, rent) / s.cost);
            all_own.push_back(split_cost(d, *std::max_element(d.begin(), d.end()), own, rent) / s.cost);
        }
        std::vector<char> used = row.hour->asked;
        used[static_cast<std::size_t>(row.bill.rent)] = 1;
        std::vector<Cell> cells{row.bill.device};
        for (const auto* trials : {&prices->own, &prices->rent}) {
            const double v = spread_of(*trials).median;
            cells.push_back({figure(v), v});
        }
        add(cells, busy, marks(book, used, today));
        for (const auto* trials : {&owned, &all_rent, &all_own}) {
            const double v = spread_of(*trials).median;
            cells.push_back({figure(v) + (trials == &owned ? " of the mean" : "x"), v});
        }
        cells.push_back(row.yield.name());
        page.table.row(std::move(cells));
    }
    page.notes.push_back(
        "Busy: part of all hours, against renting only those; above 1 renting is always cheaper. Hybrid: devices to "
        "own, as a multiple of the mean demand, and what renting all or owning for the peak costs in multiples "
        "of that split. Rented hours are on demand and at hand at once.");
    return page;
}

}  // namespace wb::tco
