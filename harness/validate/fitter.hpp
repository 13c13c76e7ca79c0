#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "harness/validate/case_maker.hpp"
#include "harness/validate/error_summary.hpp"
#include "harness/validate/fit_list.hpp"
#include "harness/validate/prediction.hpp"

namespace wb {

/// What a fit found.
struct FitResult {
    std::vector<double> stored, fitted;   ///< by constant, SI
    std::vector<double> lowest, highest;  ///< over the fits that left a part out
    std::vector<const Point*> points;
    ErrorSummary in_sample, left_out;  ///< with the fitted constants; each part by constants fitted without it
    ErrorSummary as_stored;            ///< with the constants in the file
    std::map<std::pair<std::string, std::string>, double>
        left_out_factors;  ///< backend and id -> measured / predicted time, by constants fitted without that part
    std::size_t parts = 0;
};

/// Derives constants by the smallest |log(predicted / measured)|, and again without each part of the points.
class Fitter {
public:
    Fitter(SystemBook& systems, CaseMaker& make, Predictor& predictor, const std::vector<Point>& points,
           std::function<void()> check_stop)
        : systems_(systems), make_(make), predictor_(predictor), points_(points), check_stop_(std::move(check_stop)) {}

    /// Whether there are as many rows as constants; a fit whose rows are awaited is left out until then.
    bool decided(const FitSpec& spec) const { return rows_of(spec).size() >= spec.constants.size(); }
    /// Throws Error if no point of the list's groups can be predicted. Systems are as before afterwards. The backends
    /// of `also` read the same constants: they too are judged on each part by constants fitted without it.
    FitResult run(const FitSpec& spec, const std::vector<std::string>& also = {});

private:
    using Rows = std::vector<const Point*>;
    Rows rows_of(const FitSpec& spec) const;
    void set(const FitSpec& spec, const std::vector<double>& values);
    std::vector<Judged> judge(const FitSpec& spec, const Rows& rows, const std::vector<double>& values,
                              const std::string& backend);
    std::vector<double> fit(const FitSpec& spec, const Rows& rows, const std::vector<double>& start);
    void leave_out(const FitSpec& spec, const std::vector<std::string>& also, FitResult& result);

    SystemBook& systems_;
    CaseMaker& make_;
    Predictor& predictor_;
    const std::vector<Point>& points_;
    std::function<void()> check_stop_;
};

}  // namespace wb
