#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "harness/tco/cost.hpp"
#include "harness/tco/draws.hpp"
#include "harness/tco/yield.hpp"

namespace wb::tco {

/// The middle of the trials, and where 5 % of them lie below and above.
struct Spread {
    double low = 0, median = 0, high = 0;
};
/// NaN of none. Order statistics, no interpolation.
Spread spread_of(std::vector<double> values);

/// What a result is paid for by: one of what it yields.
struct Unit {
    std::string id, name;  ///< "usd_per_Mtok_out", "USD/Mtok out"
    double amount = 0;     ///< of it, in one run
    double scale = 1;      ///< natural ones in it: 1e6 tokens in a Mtok
    std::string natural;   ///< "token"
};
/// All that a result has a cost of, the most telling first: tokens out, trained tokens, tokens in, all tokens, work
/// (PFLOP), the job itself.
std::vector<Unit> units_of(const Yield& y);

/// The trials of one device used in one way: US dollars for a unit and a paid hour, or one in use; power, racks.
struct HourTrials {
    Hourly mode;              ///< all assumptions at their modes
    std::vector<char> asked;  ///< assumptions that matter to it
    std::vector<double> capital, upkeep, energy, people, total, useful, power_W, provisioned_W, racks;
};

/// One result with its cost.
struct Row {
    Yield yield;
    Bill bill;
    Use use;
    std::shared_ptr<const HourTrials> hour;  ///< null if the result has no time
    std::vector<double> slowness;            ///< by trial: real time over stored time

    /// US dollars for one of `unit`, at the modes or by trial.
    double cost(const Unit& unit) const;
    std::vector<double> cost_trials(const Unit& unit) const;
};

struct StudyOptions {
    std::size_t trials = 10000;
    std::uint64_t seed = 1;
    bool rented = false;
};

/// Costs of stored results under the assumptions of a book.
class Study {
public:
    Study(const Book& book, const std::vector<Yield>& yields, const StudyOptions& options);

    const Book& book() const { return book_; }
    const std::vector<Row>& rows() const { return rows_; }
    const Draws& draws() const { return draws_; }
    const StudyOptions& options() const { return options_; }

    /// One device used alone, over and above the results.
    HourTrials hour_of(const Bill& bill, const Use& use) const;

private:
    Book book_;
    StudyOptions options_;
    std::vector<Row> rows_;
    Draws draws_;
};

}  // namespace wb::tco
