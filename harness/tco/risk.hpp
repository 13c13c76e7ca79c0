#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "harness/tco/study.hpp"

namespace wb::tco {

/// How one assumption moves one cost: all others at their modes.
struct Swing {
    int assumption = -1;  ///< place in the book; -1: the error band of the time
    double at_low = 0, at_high = 0;
    double size() const;
};
/// Widest first; without those that move nothing.
std::vector<Swing> tornado(const Study& study, const Row& row, const Unit& unit);

/// Spearman's rank correlation of one assumption's draws with the cost, strongest first.
struct Importance {
    int assumption = -1;  ///< -1: the error band of the time
    double correlation = 0;
    double share = 0;  ///< of the variance of the cost: Sobol's first-order index
};
std::vector<Importance> importance(const Study& study, const Row& row, const Unit& unit);

/// Part of the trials in which `a` costs less than `b`. Both draw the same shared numbers in each trial.
double chance_cheaper(const std::vector<double>& a, const std::vector<double>& b);

/// Sobol's first-order index: the part of the variance of `values` that knowing the number with these ranks would take
/// away. By the means of equally filled parts of its range, less what the spread within them adds by chance; never
/// below 0.
double sobol_first(std::span<const std::uint32_t> ranks, const std::vector<double>& values);

/// Ranks of the values, 0 the smallest.
std::vector<std::uint32_t> ranks_of(const std::vector<double>& values);

}  // namespace wb::tco
