// Reads and prints: compiled at -O1.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/suggest.hpp"
#include "harness/tco/pages.hpp"
#include "harness/tco/parity.hpp"

namespace wb::tco {
namespace {

constexpr double month_s = 365 * 86400.0 / 12;

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
    for (std::size_t i = 2; i < 5; ++i)  // median and both ends of the interval
        if (cells[i].number < 0) cells[i].text = "no price";
    const double possible = part_above(p.price, 0);
    cells.push_back({fmt::format("{:.0f} %", 100 * possible), possible});
    const Assumption& price = study.book()[row.bill.price];
    cells.push_back({figure(price.mode), price.mode});
    cells.push_back({figure(spread_of(p.speedup).median) + "x", spread_of(p.speedup).median});
    const double busy = spread_of(p.utilisation).median;
    cells.push_back({busy > 1 ? "never" : fmt::format("{:.0f} %", 100 * busy), busy});
    page.table.row(std::move(cells));
}

/// Of each device the row with the cheapest product, the cheapest first.
std::vector<const Row*> cheapest_of_each(const Group& group, const std::string& id) {
    std::vector<std::pair<double, const Row*>> rows;
    for (const Row* row : group.rows)
        if (const Unit u = row->hour ? unit_of(*row, id) : Unit{}; !u.id.empty()) rows.emplace_back(row->cost(u), row);
    std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<const Row*> out;
    std::set<std::string> seen;
    for (const auto& [cost, row] : rows)
        if (seen.insert(row->bill.device).second) out.push_back(row);
    return out;
}

/// Owning against renting of one device, by trial.
struct RentTrials {
    HourPrices prices;
    std::vector<double> busy, owned, all_rent, all_own;
};

RentTrials rent_trials(const Study& study, const HourPrices& prices) {
    const Book& book = study.book();
    const int swing = book.need("swing"), burst = book.need("burst"), burst_time = book.need("burst_time");
    RentTrials out{prices, {}, {}, {}, {}};
    for (std::size_t t = 0; t < prices.own.size(); ++t) {
        const double* v = study.draws().trial(t);
        const double own = prices.own[t], rent = prices.rent[t];
        const Demand d = daily_demand(v[swing], v[burst], v[burst_time]);
        const Split s = best_split(d, own, rent);
        out.busy.push_back(own / rent);
        out.owned.push_back(s.owned);
        out.all_rent.push_back(split_cost(d, 0, own, rent) / s.cost);
        out.all_own.push_back(split_cost(d, *std::max_element(d.begin(), d.end()), own, rent) / s.cost);
    }
    return out;
}

std::vector<Cell> rent_row(const Study& study, const Row& row, const Unit& unit, const RentTrials& r,
                           const std::string& today) {
    std::vector<char> used = row.hour->asked;
    used[static_cast<std::size_t>(row.bill.rent)] = 1;
    std::vector<Cell> cells{row.yield.name()};
    const auto number = [&cells](const std::vector<double>& trials, const char* tail) {
        const double v = spread_of(trials).median;
        cells.push_back({figure(v) + tail, v});
    };
    number(r.prices.own, "");
    number(r.prices.rent, "");
    add(cells, r.busy, marks(study.book(), used, today));
    std::vector<double> volume(r.busy.size());
    const double full = unit.amount * unit.scale / row.yield.run_s * month_s;
    for (std::size_t t = 0; t < volume.size(); ++t) volume[t] = full * r.busy[t] / row.slowness[t];
    number(volume, "");
    number(r.owned, " of the mean");
    number(r.all_rent, "x");
    number(r.all_own, "x");
    return cells;
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
        const std::vector<const Row*> rows = cheapest_of_each(group, id);
        bool titled = false;
        for (const Row* row : rows) {
            if (!is_subject(study, *row, device)) continue;
            for (const Row* other : rows) {
                if (other->bill.device == row->bill.device) continue;
                if (!titled) page.table.section(fmt::format("{}: {}", group.label, unit_of(*row, id).name));
                titled = true;
                parity_row(study, *row, *other, id, today, page);
                if (device.empty()) break;  // the cheapest alone; --parity shows all
            }
        }
    }
    page.notes.push_back(
        "Where no list price is public, the price at which both cost the same for the same product comes first; below "
        "zero, \"no price\", not even a gift is level: what else an hour costs is more than the other's whole. Of each system its cheapest row; without --parity against the cheapest of all "
        "others. Else, at the price now assumed: how many times as fast it must "
        "be, or what part of its hours it must be busy while the other keeps its own utilisation.");
    return page;
}

Page rent_page(const Study& study, const std::string& today) {
    std::vector<TextColumn> columns{{"system"}};
    for (const char* g : {"own", "rent"}) columns.push_back({g, Align::right, "USD/h, median", "USD/h"});
    for (const TextColumn& c : spread_columns("own if busy for more than", "1")) columns.push_back(c);
    columns.push_back({"or for more a month", Align::right, "", "1"});
    for (const char* g : {"own", "rent all", "own all"})
        columns.push_back({g, Align::right, "hybrid: best split of a daily demand", "1"});
    Page page{"rent", "Own, rent, or own the base load and rent the bursts", TextTable(columns), {}};
    std::map<std::string, RentTrials> known;
    for (const Group& group : groups_of(study)) {
        const std::string id = main_unit(group);
        bool titled = false;
        for (const Row* row : group.rows) {
            const Unit unit = row->hour ? unit_of(*row, id) : Unit{};
            if (unit.id.empty()) continue;
            const std::string key = fmt::format("{} {} {}", row->yield.name(), row->use.coupled, row->use.replicas);
            if (!known.contains(key)) {
                const auto prices = hour_prices(study, *row);
                if (!prices) continue;
                known.emplace(key, rent_trials(study, *prices));
            }
            if (!titled) page.table.section(fmt::format("{}: {}s", group.label, unit.natural));
            titled = true;
            page.table.row(rent_row(study, *row, unit, known.at(key), today));
        }
    }
    page.notes.push_back(
        "Busy: part of all hours, against renting only those; above 1 renting is always cheaper. A month: what the row "
        "yields in so much of it. Hybrid: devices to own, as a multiple of the mean demand, and what renting all or "
        "owning for the peak costs in multiples of that split. Rented hours are on demand and at hand at once.");
    return page;
}

Page volume_page(const Study& study, double price, const std::string& today) {
    std::vector<TextColumn> columns{{"system"}, {"owned, USD a month", Align::right, "", "USD"}};
    for (const TextColumn& c : spread_columns("level at so many Mtok out a month", "1")) columns.push_back(c);
    columns.push_back({"of what it yields", Align::right, "", "1"});
    columns.push_back({"within reach", Align::right, "", "1"});
    Page page{"volume",
              fmt::format("Own, or buy answers at {} USD for a million tokens", figure(price)),
              TextTable(columns),
              {}};
    for (const Group& group : groups_of(study)) {
        bool titled = false;
        for (const Row* row : group.rows) {
            const Unit unit = row->hour ? unit_of(*row, "usd_per_Mtok_out") : Unit{};
            if (unit.id.empty()) continue;
            if (!titled) page.table.section(group.label);
            titled = true;
            std::vector<double> volume, part;
            for (std::size_t t = 0; t < row->slowness.size(); ++t) {
                volume.push_back(row->hour->total[t] * row->yield.units * month_s / 3600 / price);
                part.push_back(volume.back() * row->yield.run_s * row->slowness[t] / unit.amount / month_s);
            }
            const double month = spread_of(volume).median * price, used = spread_of(part).median,
                         reach = 1 - part_above(part, 1);
            std::vector<Cell> cells{row->yield.name(), {figure(month), month}};
            add(cells, volume, marks(study.book(), row->hour->asked, today) + marks(row->yield));
            cells.push_back({used > 1 ? "never" : fmt::format("{:.1f} %", 100 * used), used});
            cells.push_back({fmt::format("{:.0f} %", 100 * reach), reach});
            page.table.row(std::move(cells));
        }
    }
    page.notes.push_back(
        "Owning costs the same whatever it serves, answers are paid one by one: above that volume owning is cheaper, "
        "if "
        "the system can serve it at all; \"within reach\" is the part of the trials in which it can.");
    return page;
}

}  // namespace wb::tco
