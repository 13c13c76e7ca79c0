#pragma once

#include "harness/tco/page.hpp"

namespace wb::tco {

/// What an hour of each device costs, block by block.
Page hours_page(const Study& study, const std::string& today);
/// What each result costs for what it yields, with rates for a watt, a rack and a square metre.
Page costs_page(const Study& study, const std::string& today);
/// All numbers in use with range, date and source.
Page assumptions_page(const Study& study, const std::string& today);

/// Part of the trials in which each row of the group is the cheapest for `unit`; 0 for rows without it.
std::vector<double> chances_of_cheapest(const Group& group, const std::string& unit);

}  // namespace wb::tco
