#pragma once

#include <cmath>

namespace wb::tco {

/// What a year of a loan of 1 over `years` costs: r / (1 - (1 + r)^-n), and 1 / n without interest.
inline double capital_recovery(double rate, double years) {
    // Below this the closed form loses digits, and its series has them: (1 + r (n + 1) / 2) / n.
    if (rate * years < 1e-6) return (1 + rate * (years + 1) / 2) / years;
    return rate / -std::expm1(-years * std::log1p(rate));
}

/// What a thing of price 1 costs each of `years` years, when a part `kept` of its worth is left after each: the loan
/// pays for all but what its sale will bring, discounted.
inline double annual_cost(double rate, double years, double kept) {
    const double sale = kept > 0 ? std::pow(kept, years) * std::pow(1 + rate, -years) : 0;
    return (1 - sale) * capital_recovery(rate, years);
}

}  // namespace wb::tco
