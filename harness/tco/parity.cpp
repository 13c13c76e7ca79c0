#include "harness/tco/parity.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace wb::tco {

Parity parity(const Study& study, const Row& row, const Row& other, const Unit& unit, const Unit& other_unit) {
    Parity out;
    const std::vector<double> mine = row.cost_trials(unit), theirs = other.cost_trials(other_unit);
    std::vector<double> values(study.book().all().size());
    for (std::size_t t = 0; t < mine.size(); ++t) {
        const double ratio = theirs[t] / mine[t];
        out.speedup.push_back(1 / ratio);
        const double* drawn = study.draws().trial(t);
        out.utilisation.push_back(drawn[row.bill.utilisation] / ratio);
        if (row.bill.price < 0 || row.bill.rented) continue;
        std::copy(drawn, drawn + values.size(), values.begin());
        const double price = values[static_cast<std::size_t>(row.bill.price)];
        values[static_cast<std::size_t>(row.bill.price)] = 0;
        const double free = hourly_cost(row.bill, row.use, {values.data()}).useful();
        const double slope = (row.hour->useful[t] - free) / price;
        out.price.push_back((row.hour->useful[t] * ratio - free) / slope);
    }
    return out;
}

std::optional<HourPrices> hour_prices(const Study& study, const Row& row) {
    if (row.bill.price < 0 || row.bill.rent < 0 || !row.hour) return std::nullopt;
    Bill rented = row.bill, owned = row.bill;
    rented.rented = true;
    owned.rented = false;
    HourPrices out;
    for (std::size_t t = 0; t < study.draws().trials(); ++t) {
        const Values v{study.draws().trial(t)};
        out.own.push_back(hourly_cost(owned, row.use, v).total());
        out.rent.push_back(hourly_cost(rented, row.use, v).total());
    }
    return out;
}

Demand daily_demand(double swing, double burst, double burst_time) {
    constexpr int slots = 240;  // six minutes each
    Demand out;
    double sum = 0;
    for (int i = 0; i < slots; ++i) {
        const double at = (i + 0.5) / slots;
        double d = 1 - swing * std::cos(2 * std::numbers::pi * at);
        // A burst in the middle of the busy half of the day, when it costs most.
        if (std::abs(at - 0.5) < burst_time / 2) d *= burst;
        out.push_back(d);
        sum += d;
    }
    for (double& d : out) d *= slots / sum;
    return out;
}

double split_cost(const Demand& demand, double owned, double own, double rent) {
    double rented = 0;
    for (const double d : demand) rented += std::max(0.0, d - owned);
    return own * owned + rent * rented / static_cast<double>(demand.size());
}

namespace {

Split split_of_sorted(const Demand& demand, double own, double rent) {
    // One more owned pays while it would be in use for more than own / rent of the time.
    const double idle = 1 - own / rent;
    if (idle <= 0) return {0, split_cost(demand, 0, own, rent)};
    const auto n = static_cast<double>(demand.size());
    const auto at = std::min(static_cast<std::size_t>(idle * n), demand.size() - 1);
    return {demand[at], split_cost(demand, demand[at], own, rent)};
}

}  // namespace

Split best_split(Demand demand, double own, double rent) {
    std::sort(demand.begin(), demand.end());
    return split_of_sorted(demand, own, rent);
}

std::vector<Demand> demands_of(const Study& study) {
    const Book& book = study.book();
    const int swing = book.need("swing"), burst = book.need("burst"), burst_time = book.need("burst_time");
    std::vector<Demand> out;
    for (std::size_t t = 0; t < study.draws().trials(); ++t) {
        const double* v = study.draws().trial(t);
        out.push_back(daily_demand(v[swing], v[burst], v[burst_time]));
        std::sort(out.back().begin(), out.back().end());
    }
    return out;
}

std::vector<double> hybrid_cost(const std::vector<Demand>& demands, const HourPrices& prices) {
    std::vector<double> out;
    for (std::size_t t = 0; t < demands.size(); ++t)
        out.push_back(split_of_sorted(demands[t], prices.own[t], prices.rent[t]).cost);
    return out;
}

}  // namespace wb::tco
