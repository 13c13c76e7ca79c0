#pragma once

#include <span>
#include <string>
#include <vector>

#include "harness/validate/point.hpp"
#include "harness/validate/prediction.hpp"

namespace wb {

/// A point with what one backend said of it.
struct Judged {
    const Point* point;
    std::string backend;
    Prediction prediction;

    double ratio() const { return prediction.value / point->value; }  ///< predicted / measured
    double error() const;                                             ///< |ratio - 1|
    /// measured / predicted time; NaN where the metric says nothing of a time.
    double time_factor() const;
};

/// How far off a backend is over one group, or one family. Errors are NaN where nothing was predicted.
struct ErrorSummary {
    std::string name, family, backend;
    std::size_t n = 0, predicted = 0;
    double median = 0, p90 = 0, worst = 0;  ///< of |predicted / measured - 1|
    std::string worst_id;
    double bias = 0;              ///< median of predicted / measured - 1
    double rank_correlation = 0;  ///< Spearman, over the rows of the commonest metric; NaN where undefined
    double coverage() const { return n == 0 ? 0 : static_cast<double>(predicted) / static_cast<double>(n); }
};

ErrorSummary summarise_errors(const std::vector<const Judged*>& rows);

/// One summary for each group and backend, in the order of the rows; `by_family`: for each family and backend.
std::vector<ErrorSummary> summarise_groups(const std::vector<Judged>& rows, bool by_family = false);

/// Spearman's rank correlation with average ranks for ties; NaN below three values or where one side is constant.
double rank_correlation(std::span<const double> a, std::span<const double> b);

}  // namespace wb
