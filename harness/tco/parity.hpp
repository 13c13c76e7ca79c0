#pragma once

#include <optional>
#include <vector>

#include "harness/tco/study.hpp"

namespace wb::tco {

/// What it takes for one row to cost as much as another for the same product, by trial.
struct Parity {
    std::vector<double> price;        ///< of one unit in USD; negative: not even for nothing
    std::vector<double> utilisation;  ///< of this row, the other at its own; above 1: at none
    std::vector<double> speedup;      ///< of this row at its own price
};
/// The cost is linear in the price of the device and in the time, and inverse to the utilisation: closed forms.
Parity parity(const Study& study, const Row& row, const Row& other, const Unit& unit, const Unit& other_unit);

/// What owning one unit costs for a paid hour, and what renting it does; nothing for what cannot be had in both ways.
/// Above own / rent of the time in use owning is cheaper.
struct HourPrices {
    std::vector<double> own, rent;
};
std::optional<HourPrices> hour_prices(const Study& study, const Row& row);

/// Demand over time as a list of equally long hours, each in devices.
using Demand = std::vector<double>;
/// A day with mean 1 that swings by `swing` around it, and for a part `burst_time` of its hours `burst` times as much.
Demand daily_demand(double swing, double burst, double burst_time);

struct Split {
    double owned = 0;  ///< devices to own
    double cost = 0;   ///< USD an hour, rented ones included
};
/// How many to own when `own` USD buy one for an hour, used or not, and `rent` USD one while it is used. The cost is
/// convex and piecewise linear in the number owned, so the best one is a demand: the quantile 1 - own / rent.
Split best_split(Demand demand, double own, double rent);
double split_cost(const Demand& demand, double owned, double own, double rent);

/// The daily demands of all trials, each sorted.
std::vector<Demand> demands_of(const Study& study);
/// US dollars for an hour of the mean demand, owned and rented by the best split; by trial.
std::vector<double> hybrid_cost(const std::vector<Demand>& demands, const HourPrices& prices);

}  // namespace wb::tco
