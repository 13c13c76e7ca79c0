// Reads and prints: compiled at -O1.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "harness/tco/front.hpp"
#include "harness/tco/pages.hpp"

namespace wb::tco {
namespace {

/// Rates for the same money, power or room, beside each other.
struct View {
    const char* name;
    double (*amount)(const Row&);  ///< of one unit
    double given;
};
double money(const Row& row) { return row.hour->mode.useful(); }
double power(const Row& row) { return row.hour->mode.provisioned_W; }
double racks(const Row& row) { return row.hour->mode.racks; }
double area(const Row& row) { return row.hour->mode.area_m2; }
constexpr View views[] = {
    {"1000 USD/h", money, 1000}, {"1 MW", power, 1e6}, {"1 rack", racks, 1}, {"100 m2", area, 100}};

double view_rate(const Row& row, const Unit& unit, const View& v) {
    return unit.amount * unit.scale / row.yield.run_s / row.yield.units / v.amount(row) * v.given;
}

/// One system's results of one family: a front.
using Fronts = std::map<std::string, std::map<std::string, std::vector<Point>>>;

Fronts fronts_of(const Study& study, bool by_ttft) {
    Fronts out;
    for (std::size_t i = 0; i < study.rows().size(); ++i) {
        const Row& row = study.rows()[i];
        const Yield& y = row.yield;
        const auto& service = by_ttft ? y.ttft_s : y.interactivity;
        if (!row.hour || !service || !(*service > 0) || !std::isfinite(*service) || y.output_tokens <= 0) continue;
        out[y.family][y.system + " " + y.backend].push_back(
            {by_ttft ? 1 / *service : *service, y.output_tokens / y.run_s / y.units, i});
    }
    for (auto& [family, systems] : out)
        for (auto& [name, points] : systems) points = pareto(points);
    return out;
}

/// The nearest stored result lends its hour and its error band.
const Row& nearest(const Study& study, const std::vector<Point>& front, double service) {
    const auto at = std::min_element(front.begin(), front.end(), [service](const Point& a, const Point& b) {
        return std::abs(std::log(a.service / service)) < std::abs(std::log(b.service / service));
    });
    return study.rows()[at->row];
}

std::string level_text(double service, bool by_ttft) {
    return by_ttft ? fmt::format("first token within {} s", figure(1 / service))
                   : fmt::format("{} tokens/s for each user", figure(service));
}

}  // namespace

Page views_page(const Study& study) {
    std::vector<TextColumn> columns{{"system"}, {"kind"}};
    for (const View& v : views) {
        columns.push_back({v.name, Align::right, "per second, at"});
        columns.push_back({"of best", Align::right, "per second, at"});
    }
    Page page{"views", "The same money, the same power, the same room", TextTable(columns), {}};
    for (const Group& group : groups_of(study)) {
        const std::string id = main_unit(group);
        if (id.empty()) continue;
        std::map<const char*, double> best;
        for (const Row* row : group.rows)
            if (const Unit u = row->hour ? unit_of(*row, id) : Unit{}; !u.id.empty())
                for (const View& v : views) best[v.name] = std::max(best[v.name], view_rate(*row, u, v));
        std::string natural;
        std::vector<std::vector<Cell>> rows;
        for (const Row* row : group.rows) {
            const Unit u = row->hour ? unit_of(*row, id) : Unit{};
            if (u.id.empty()) continue;
            natural = u.natural;
            std::vector<Cell> cells{row->yield.name(), std::string(name(row->yield.kind))};
            for (const View& v : views) {
                const double rate = view_rate(*row, u, v), part = rate / best[v.name];
                cells.push_back({figure(rate), rate});
                cells.push_back(
                    {fmt::format("{:.0f} %", 100 * part), part, part == 1 ? Emphasis::good : Emphasis::none});
            }
            rows.push_back(std::move(cells));
        }
        page.table.section(fmt::format("{}: {}s", group.label, natural));
        for (auto& cells : rows) page.table.row(std::move(cells));
    }
    page.notes.push_back(
        "At the modes of all assumptions. Money: hours in use; power: provisioned x PUE; a rack: its units, or "
        "as many as its power allows. --interactivity and --ttft set the same service for all.");
    return page;
}

Page level_page(const Study& study, double service, bool by_ttft, const std::string& today) {
    std::vector<TextColumn> columns{{"system"}, {"points", Align::right, "", "1"}, {"range", Align::right}};
    for (const TextColumn& c : spread_columns("USD/Mtok out", "USD")) columns.push_back(c);
    for (const char* c : {"1000 USD/h", "1 MW", "1 rack", "100 m2"})
        columns.push_back({c, Align::right, "tokens/s, at"});
    columns.push_back({"how"});
    Page page{"level", "The same service: " + level_text(service, by_ttft), TextTable(columns), {}};
    for (const auto& [family, systems] : fronts_of(study, by_ttft)) {
        page.table.section(family);
        for (const auto& [name, front] : systems) {
            const auto shown = [by_ttft](double s) { return figure(by_ttft ? 1 / s : s); };
            std::vector<Cell> cells{name,
                                    {fmt::format("{}", front.size()), static_cast<double>(front.size())},
                                    shown(front.front().service) + " .. " + shown(front.back().service)};
            const auto rate = rate_at(front, service);
            if (!rate) {
                for (int i = 0; i < 8; ++i) cells.emplace_back("");
                cells.push_back({"refused: outside the range of its results", Emphasis::caution});
                page.table.row(std::move(cells));
                continue;
            }
            const Row& row = nearest(study, front, service);
            std::vector<double> cost(row.slowness.size());
            for (std::size_t t = 0; t < cost.size(); ++t)
                cost[t] = row.hour->useful[t] * row.slowness[t] / (3600 * *rate) * 1e6;
            for (Cell& c :
                 spread_cells(spread_of(cost), marks(study.book(), row.hour->asked, today) + marks(row.yield)))
                cells.push_back(std::move(c));
            for (const View& v : views)
                cells.push_back({figure(*rate / v.amount(row) * v.given), *rate / v.amount(row) * v.given});
            const bool exact =
                std::any_of(front.begin(), front.end(), [&](const Point& p) { return p.service == service; });
            cells.push_back(exact ? "a stored result" : "interpolated");
            page.table.row(std::move(cells));
        }
    }
    page.notes.push_back(
        "Between stored results of one system and model the Pareto front is interpolated by Steffen's monotone "
        "cubic; outside their range nothing is said.");
    return page;
}

}  // namespace wb::tco
