#include "harness/tco/study.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace wb::tco {
namespace {

constexpr double hour_s = 3600;

std::vector<Row> rows_of(const Book& book, const std::vector<Yield>& yields, bool rented) {
    std::vector<Row> out;
    for (const Yield& y : yields) {
        Row row;
        row.yield = y;
        row.bill = bill_of(book, y.system, rented);
        row.use.units = y.units;
        row.use.node_units = y.node_units;
        row.use.replicas = y.replicas;
        row.use.coupled = y.coupled;
        if (y.kind == Kind::measured && y.energy_J && y.run_s > 0) row.use.power_W = *y.energy_J / y.run_s / y.units;
        out.push_back(std::move(row));
    }
    return out;
}

/// Assumptions that any row asks for.
std::vector<char> used_by(const Book& book, const std::vector<Row>& rows) {
    std::vector<char> used(book.all().size(), 0);
    std::vector<double> modes;
    for (const Assumption& a : book.all()) modes.push_back(a.mode);
    for (const Row& row : rows) {
        hourly_cost(row.bill, row.use, {modes.data(), &used});
        if (row.bill.rent >= 0) used[static_cast<std::size_t>(row.bill.rent)] = 1;
    }
    for (const char* key : {"swing", "burst", "burst_time"}) used[static_cast<std::size_t>(book.need(key))] = 1;
    return used;
}

std::string name_of(const Row& row) {
    const Use& u = row.use;
    return fmt::format("{}|{}|{}|{}|{}|{}", row.bill.device, u.units, u.node_units, u.replicas, u.coupled, u.power_W);
}

/// Real time over stored time: its band are the 10th and 90th percentile, its median is 1.
std::vector<double> slowness_of(const Yield& y, const std::vector<double>& normal) {
    constexpr double tenth = 1.2815515655446004;
    const double below = -std::log(y.low) / tenth, above = std::log(y.high) / tenth;
    std::vector<double> out;
    out.reserve(normal.size());
    for (const double z : normal) out.push_back(std::exp(z * (z < 0 ? below : above)));
    return out;
}

}  // namespace

Spread spread_of(std::vector<double> values) {
    constexpr double none = std::numeric_limits<double>::quiet_NaN();
    if (values.empty()) return {none, none, none};
    const auto at = [&values](double p) {
        const auto i = static_cast<std::ptrdiff_t>(p * static_cast<double>(values.size() - 1) + 0.5);
        std::nth_element(values.begin(), values.begin() + i, values.end());
        return values[static_cast<std::size_t>(i)];
    };
    const double low = at(0.05), median = at(0.5), high = at(0.95);
    return {low, median, high};
}

std::vector<Unit> units_of(const Yield& y) {
    std::vector<Unit> out;
    constexpr double million = 1e6, peta = 1e15;
    const auto put = [&out](const char* id, const char* name, double natural, double scale, const char* of) {
        if (natural > 0) out.push_back({id, name, natural / scale, scale, of});
    };
    put("usd_per_Mtok_out", "USD/Mtok out", y.output_tokens, million, "token");
    put("usd_per_Mtok_trained", "USD/Mtok trained", y.trained_tokens, million, "token");
    put("usd_per_Mtok_in", "USD/Mtok in", y.input_tokens, million, "token");
    if (y.output_tokens > 0) put("usd_per_Mtok", "USD/Mtok all", y.input_tokens + y.output_tokens, million, "token");
    if (y.training_tokens > 0 && y.trained_tokens > 0)
        put("usd_per_training", "USD/training", y.trained_tokens / y.training_tokens, 1, "training");
    put("usd_per_PFLOP", "USD/PFLOP", y.flops / peta, 1, "PFLOP");
    put("usd_per_run", "USD/run", y.usable() ? 1 : 0, 1, "run");
    return out;
}

double Row::cost(const Unit& unit) const {
    return hour->mode.useful() * yield.units * yield.run_s / hour_s / unit.amount;
}

std::vector<double> Row::cost_trials(const Unit& unit) const {
    const double factor = yield.units * yield.run_s / hour_s / unit.amount;
    std::vector<double> out(slowness.size());
    for (std::size_t t = 0; t < out.size(); ++t) out[t] = hour->useful[t] * slowness[t] * factor;
    return out;
}

Study::Study(const Book& book, const std::vector<Yield>& yields, const StudyOptions& options)
    : book_(book),
      options_(options),
      rows_(rows_of(book_, yields, options.rented)),
      draws_(book_, used_by(book_, rows_), options.trials, options.seed) {
    std::map<std::string, std::shared_ptr<const HourTrials>> hours;
    std::map<std::string, std::vector<double>> normal;
    for (Row& row : rows_) {
        if (!row.yield.usable()) continue;
        auto& hour = hours[name_of(row)];
        if (!hour) hour = std::make_shared<HourTrials>(hour_of(row.bill, row.use));
        row.hour = hour;
        // One model is off in one direction on one system: all its results of one workload share the draw.
        const Yield& y = row.yield;
        const std::string stream = fmt::format("band {} {} {}", y.system, y.backend, y.workload);
        auto& z = normal[stream];
        if (z.empty()) z = normal_draws(stream, options_.trials, options_.seed);
        row.slowness = slowness_of(y, z);
    }
}

HourTrials Study::hour_of(const Bill& bill, const Use& use) const {
    HourTrials out;
    out.asked.assign(book_.all().size(), 0);
    out.mode = hourly_cost(bill, use, {draws_.modes().data(), &out.asked});
    const std::size_t n = draws_.trials();
    for (auto* column : {&out.capital, &out.upkeep, &out.energy, &out.people, &out.total, &out.useful, &out.power_W,
                         &out.provisioned_W, &out.racks})
        column->reserve(n);
    for (std::size_t t = 0; t < n; ++t) {
        const Hourly h = hourly_cost(bill, use, {draws_.trial(t)});
        out.capital.push_back(h.capital());
        out.upkeep.push_back(h.upkeep());
        out.energy.push_back(h.energy);
        out.people.push_back(h.people());
        out.total.push_back(h.total());
        out.useful.push_back(h.useful());
        out.power_W.push_back(h.power_W);
        out.provisioned_W.push_back(h.provisioned_W);
        out.racks.push_back(h.racks);
    }
    return out;
}

}  // namespace wb::tco
