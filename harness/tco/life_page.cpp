// Reads and prints: compiled at -O1.
#include <fmt/format.h>

#include <cmath>
#include <set>

#include "harness/tco/finance.hpp"
#include "harness/tco/life.hpp"
#include "harness/tco/pages.hpp"

namespace wb::tco {

LifeCost life_cost(const Bill& bill, const Hourly& h, const Values& value) {
    constexpr double year_s = year_hours * 3600;
    const double rate = value(bill.discount) * year_s, years = value(bill.life) / year_s, kept = value(bill.salvage);
    const double bought = (h.accelerators + h.hosts + h.network + h.storage + h.cooling) * year_hours;
    const double yearly = h.total() * year_hours - bought;
    LifeCost out;
    out.years = years;
    out.price = bought / annual_cost(rate, years, kept);
    out.nominal = out.price * (1 - (kept > 0 ? std::pow(kept, years) : 0)) + yearly * years;
    out.discounted = h.total() * year_hours / capital_recovery(rate, years);
    return out;
}

Page life_page(const Study& study, const std::string& today) {
    std::vector<TextColumn> columns{{"system"}, {"use"}, {"years", Align::right, "median", "year"}};
    columns.push_back({"bought", Align::right, "median", "USD"});
    columns.push_back({"all paid", Align::right, "median", "USD"});
    for (const TextColumn& c : spread_columns("discounted to the day of purchase, USD", "USD")) columns.push_back(c);
    Page page{
        "life", fmt::format("Cost of a unit over its life, preset {}", study.book().preset()), TextTable(columns), {}};
    std::set<std::string> shown;
    for (const Row& row : study.rows()) {
        if (!row.hour || !shown.insert(fmt::format("{} {}", row.yield.name(), row.use.coupled)).second) continue;
        std::vector<double> years, price, nominal, discounted;
        for (std::size_t t = 0; t < study.draws().trials(); ++t) {
            const Values v{study.draws().trial(t)};
            const LifeCost c = life_cost(row.bill, hourly_cost(row.bill, row.use, v), v);
            years.push_back(c.years), price.push_back(c.price);
            nominal.push_back(c.nominal), discounted.push_back(c.discounted);
        }
        std::vector<Cell> cells{row.yield.name() + (row.bill.rented ? ", rented" : ""),
                                row.use.coupled ? "training" : "serving"};
        for (const auto* of : {&years, &price, &nominal}) {
            const double middle = spread_of(*of).median;
            cells.push_back({figure(middle), middle});
        }
        for (Cell& c : spread_cells(spread_of(discounted), marks(study.book(), row.hour->asked, today)))
            cells.push_back(std::move(c));
        page.table.row(std::move(cells));
    }
    page.notes.push_back(
        "All paid: what is bought less its sale, and every year's hall, energy, upkeep and people, as paid. "
        "Discounted: "
        "the same at the cost of capital, later dollars counting less; over the years of use it is the hourly cost.");
    return page;
}

}  // namespace wb::tco
