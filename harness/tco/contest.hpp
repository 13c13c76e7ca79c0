#pragma once

#include <functional>
#include <string>
#include <vector>

#include "harness/tco/page.hpp"

namespace wb::tco {

/// The part of the trials from which on a claim counts as decided.
inline constexpr double decisive = 0.8;

/// Who has the least of a figure (cost, time, energy for one of a unit), and in what part of the trials.
struct Contest {
    /// A system with all its rows of the workload.
    struct Entry {
        const Row* row = nullptr;  ///< of its rows the one that has the least most often
        double chance = 0;         ///< part of the trials in which one of its rows has the least
        Spread figure;             ///< of that row
    };
    std::vector<Entry> entries;  ///< systems that have the least in any trial, most often first

    bool decided() const { return !entries.empty() && entries.front().chance >= decisive; }
    /// The fewest systems that together have the least in so many trials that one of them is it: at most three.
    std::vector<Entry> contenders() const;
    /// "SYSTEM x8", or "undecided: SYSTEM x8 or OTHER"; empty if nothing has a figure.
    std::string verdict() const;
    /// "96 %", or "45 % or 38 %".
    std::string chances() const;
};
/// `of` gives a row's figure by trial for one unit.
Contest contest(const Study& study, const Group& group, const std::string& unit,
                const std::function<double(const Row&, const Unit&, std::size_t)>& of);

/// The three contests of a workload, each for one of its main unit.
struct Uses {
    const Group* group;
    Contest cheapest, fastest, coolest;
};
/// Of all groups that have a unit.
std::vector<Uses> uses_of(const Study& study, const std::vector<Group>& groups);
/// In how many workloads the system is decidedly the best at what, in how many perhaps, and where most surely.
std::string uses_text(const std::vector<Uses>& uses, const std::string& system);

}  // namespace wb::tco
