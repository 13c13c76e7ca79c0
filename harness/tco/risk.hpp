#pragma once

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
};
std::vector<Importance> importance(const Study& study, const Row& row, const Unit& unit);

/// Part of the trials in which `a` costs less than `b`. Both draw the same shared numbers in each trial.
double chance_cheaper(const std::vector<double>& a, const std::vector<double>& b);

/// Ranks of the values, 0 the smallest.
std::vector<std::uint32_t> ranks_of(const std::vector<double>& values);

}  // namespace wb::tco
