// Reads and prints: compiled at -O1.
#include <fmt/format.h>

#include <algorithm>

#include "harness/tco/pages.hpp"
#include "harness/tco/risk.hpp"

namespace wb::tco {
namespace {

constexpr std::size_t shown = 8;

std::string what(const Study& study, int assumption) {
    return assumption < 0 ? "error band of the time" : study.book()[assumption].key;
}

std::string range_of(const Study& study, const Row& row, int assumption) {
    if (assumption < 0) return fmt::format("{:.2f}x .. {:.2f}x", row.yield.low, row.yield.high);
    return study.book()[assumption].text;
}

}  // namespace

Page chances_page(const Study& study) {
    Page page{"chances",
              "Which is cheaper: part of the trials in which the row costs less than the column's system",
              TextTable({{"system"},
                         {"against"},
                         {"cheaper", Align::right, "", "1"},
                         {"cost over its cost", Align::right, "", "1"}}),
              {}};
    for (const Group& group : groups_of(study)) {
        const std::string id = main_unit(group);
        if (id.empty()) continue;
        page.table.section(group.label);
        for (std::size_t a = 0; a < group.rows.size(); ++a)
            for (std::size_t b = a + 1; b < group.rows.size(); ++b) {
                const Row &x = *group.rows[a], &y = *group.rows[b];
                if (!x.hour || !y.hour) continue;
                const Unit ux = unit_of(x, id), uy = unit_of(y, id);
                if (ux.id.empty() || uy.id.empty()) continue;
                const std::vector<double> cx = x.cost_trials(ux), cy = y.cost_trials(uy);
                const double chance = chance_cheaper(cx, cy);
                std::vector<double> ratio(cx.size());
                for (std::size_t t = 0; t < cx.size(); ++t) ratio[t] = cx[t] / cy[t];
                const double middle = spread_of(ratio).median;
                page.table.row({x.yield.name(),
                                y.yield.name(),
                                {fmt::format("{:.1f} %", 100 * chance), chance},
                                {figure(middle), middle}});
            }
    }
    page.notes.push_back(
        "Both sides draw the same discount rate, energy price, PUE and all else they share in each trial. Only what "
        "is theirs alone differs: prices, power and the error band of their times.");
    return page;
}

Page tornado_page(const Study& study) {
    Page page{"tornado",
              "What moves a cost: one assumption at its ends, all others at their modes",
              TextTable({{"system"},
                         {"assumption"},
                         {"low .. mode .. high"},
                         {"at low", Align::right, "USD", "USD"},
                         {"at mode", Align::right, "USD", "USD"},
                         {"at high", Align::right, "USD", "USD"},
                         {"swing", Align::right, "", "1"}}),
              {}};
    for (const Group& group : groups_of(study)) {
        const std::string id = main_unit(group);
        for (const Row* row : group.rows) {
            if (!row->hour || unit_of(*row, id).id.empty()) continue;
            const Unit unit = unit_of(*row, id);
            page.table.section(fmt::format("{}: {}, {}", group.label, row->yield.name(), unit.name));
            const double mode = row->cost(unit);
            std::vector<Swing> swings = tornado(study, *row, unit);
            swings.resize(std::min(swings.size(), shown));
            for (const Swing& s : swings)
                page.table.row({row->yield.name(),
                                what(study, s.assumption),
                                range_of(study, *row, s.assumption),
                                {figure(s.at_low), s.at_low},
                                {figure(mode), mode},
                                {figure(s.at_high), s.at_high},
                                {fmt::format("{:.0f} %", 100 * s.size() / mode), s.size() / mode}});
        }
    }
    return page;
}

Page importance_page(const Study& study) {
    Page page{"importance",
              "What decides a cost: rank correlation of each assumption with it over all trials",
              TextTable({{"system"},
                         {"assumption"},
                         {"low .. mode .. high"},
                         {"rank correlation", Align::right, "", "1"},
                         {"of the variance", Align::right, "", "1"}}),
              {}};
    for (const Group& group : groups_of(study)) {
        const std::string id = main_unit(group);
        for (const Row* row : group.rows) {
            if (!row->hour || unit_of(*row, id).id.empty()) continue;
            page.table.section(fmt::format("{}: {}", group.label, row->yield.name()));
            std::vector<Importance> all = importance(study, *row, unit_of(*row, id));
            all.resize(std::min(all.size(), shown));
            for (const Importance& i : all)
                page.table.row({row->yield.name(),
                                what(study, i.assumption),
                                range_of(study, *row, i.assumption),
                                {fmt::format("{:+.2f}", i.correlation), i.correlation},
                                {fmt::format("{:.0f} %", 100 * i.share), i.share}});
        }
    }
    page.notes.push_back(
        "Of the variance: the part that knowing this one number would take away (Sobol, first order).");
    return page;
}

}  // namespace wb::tco
