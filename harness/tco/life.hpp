#pragma once

#include "harness/tco/cost.hpp"

namespace wb::tco {

/// What one unit costs from its purchase to its sale, in US dollars of the day of purchase.
struct LifeCost {
    double years = 0;
    double price = 0;       ///< of all that is bought for it, on the first day; rented: 0
    double nominal = 0;     ///< price less sale, and all that is paid each year
    double discounted = 0;  ///< the net present value of the same: the hourly cost as an annuity
};
/// `hourly` under the same bill and values. A hall that is built is paid off by the year, as in the hourly cost.
LifeCost life_cost(const Bill& bill, const Hourly& hourly, const Values& value);

}  // namespace wb::tco
