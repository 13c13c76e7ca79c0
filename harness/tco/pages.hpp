#pragma once

#include <map>

#include "harness/tco/page.hpp"

namespace wb::tco {

/// What an hour of each device costs, block by block.
Page hours_page(const Study& study, const std::string& today);
/// What each result costs for what it yields, with rates for a watt, a rack and a square metre.
Page costs_page(const Study& study, const std::string& today);
/// What a unit costs from purchase to sale, as paid and discounted.
Page life_page(const Study& study, const std::string& today);
/// All numbers in use with range, date and source.
Page assumptions_page(const Study& study, const std::string& today);

/// Part of the trials in which one system is cheaper than another, pair by pair.
Page chances_page(const Study& study);
/// What moves each cost: one at a time, and over all trials.
Page tornado_page(const Study& study);
Page importance_page(const Study& study);
/// At which price a system is level with each other one: `subject`, or all whose price is an assumption.
Page parity_page(const Study& study, const std::string& subject, const std::string& today);
/// Own, rent or both: devices that can be had in both ways.
Page rent_page(const Study& study, const std::string& today);
/// The volume above which owning is cheaper than buying answers at `price` USD for a million tokens.
Page volume_page(const Study& study, double price, const std::string& today);
/// Rates for the same money, power and room.
Page views_page(const Study& study);
/// All systems at one level of service, interpolated on their Pareto fronts: tokens per second of a user, or,
/// `by_ttft`, 1 / time to the first token.
Page level_page(const Study& study, double service, bool by_ttft, const std::string& today);

/// Peak and achieved rates, memory, tail latency, what there is to choose, power, cost and best uses of each system,
/// and the cheapest, fastest and coolest system of each workload. `systems` are those stored with the results,
/// `experiment` the file they are of.
std::vector<Page> systems_pages(const Study& study, const std::map<std::string, System>& systems,
                                const std::string& experiment, const std::string& today);

/// Part of the trials in which each row of the group is the cheapest for `unit`; 0 for rows without it.
std::vector<double> chances_of_cheapest(const Group& group, const std::string& unit);

}  // namespace wb::tco
