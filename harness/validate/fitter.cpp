#include "harness/validate/fitter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.hpp"
#include "harness/validate/minimise.hpp"

namespace wb {
namespace {

constexpr double unpredicted = 5;  // |log error| that a row counts which constants make impossible

ErrorSummary summary(const std::vector<Judged>& rows) {
    std::vector<const Judged*> all;
    for (const Judged& r : rows) all.push_back(&r);
    return summarise_errors(all);
}

double total(const std::vector<double>& errors, const std::string& objective) {
    if (objective == "worst") return *std::max_element(errors.begin(), errors.end());
    double sum = 0;
    for (double e : errors) sum += objective == "rms" ? e * e : e;
    sum /= static_cast<double>(errors.size());
    return objective == "rms" ? std::sqrt(sum) : sum;
}

/// Which rows go together when parts are left out.
std::string part_of(const Point& p, const FitSpec& spec, bool by_group, std::size_t index) {
    if (!spec.leave_out.empty()) return p.word_or(spec.leave_out, "");
    return by_group ? p.group : std::to_string(index % 5);
}

/// Whole numbers make steps that a simplex may not climb: one more or less of each, as long as it helps.
std::vector<double> polished(const FitSpec& spec, const std::function<double(const std::vector<double>&)>& cost,
                             Minimum best) {
    for (std::size_t i = 0; i < best.at.size(); ++i)
        if (spec.constants[i].whole) best.at[i] = std::round(best.at[i]);
    for (bool better = true; better;) {
        better = false;
        for (std::size_t i = 0; i < best.at.size(); ++i)
            for (double step : {-1.0, 1.0}) {
                if (!spec.constants[i].whole || best.at[i] + step < 0) continue;
                std::vector<double> next = best.at;
                next[i] += step;
                if (const double value = cost(next); value < best.value) best = {next, value, 0}, better = true;
            }
    }
    return best.at;
}

void note_factors(const std::vector<Judged>& rows, FitResult& result) {
    for (const Judged& r : rows)
        if (r.prediction.known && std::isfinite(r.time_factor()))
            result.left_out_factors[{r.backend, r.point->id}] = r.time_factor();
}

}  // namespace

void Fitter::set(const FitSpec& spec, const std::vector<double>& values) {
    systems_.restore();
    for (const std::string& system : spec.systems)
        for (std::size_t i = 0; i < values.size(); ++i)
            systems_.replace(spec.constants[i].in(system), spec.constants[i].whole ? std::round(values[i]) : values[i]);
    predictor_.forget();
}

std::vector<Judged> Fitter::judge(const FitSpec& spec, const Rows& rows, const std::vector<double>& values,
                                  const std::string& backend) {
    set(spec, values);
    std::vector<Judged> out;
    for (const Point* p : rows)
        out.push_back({p, backend, predictor_.predict(question_of(*p, make_), backend, points_)});
    return out;
}

std::vector<double> Fitter::fit(const FitSpec& spec, const Rows& rows, const std::vector<double>& start) {
    const auto cost = [&](const std::vector<double>& values) {
        check_stop_();
        std::vector<double> errors;
        for (const Judged& r : judge(spec, rows, values, spec.backend))
            errors.push_back(r.prediction.known && r.ratio() > 0 ? std::min(unpredicted, std::abs(std::log(r.ratio())))
                                                                 : unpredicted);
        return total(errors, spec.objective);
    };
    std::vector<double> steps;
    for (std::size_t i = 0; i < start.size(); ++i) {
        const double step = start[i] > 0 ? 0.25 * start[i] : 1;
        steps.push_back(spec.constants[i].whole ? std::max(1.0, std::round(step)) : step);
    }
    return polished(spec, cost, minimise(cost, start, steps, 120 * static_cast<int>(start.size())));
}

void Fitter::leave_out(const FitSpec& spec, const std::vector<std::string>& also, FitResult& result) {
    std::set<std::string> groups, parts;
    for (const Point* p : result.points) groups.insert(p->group);
    const auto part = [&](std::size_t i) { return part_of(*result.points[i], spec, groups.size() > 1, i); };
    for (std::size_t i = 0; i < result.points.size(); ++i) parts.insert(part(i));
    result.lowest = result.highest = result.fitted;
    if (parts.size() < 2) return;
    result.parts = parts.size();
    std::vector<Judged> judged;
    for (const std::string& name : parts) {
        Rows mine, others;
        for (std::size_t i = 0; i < result.points.size(); ++i)
            (part(i) == name ? mine : others).push_back(result.points[i]);
        const std::vector<double> values = fit(spec, others, result.fitted);
        for (std::size_t i = 0; i < values.size(); ++i) {
            result.lowest[i] = std::min(result.lowest[i], values[i]);
            result.highest[i] = std::max(result.highest[i], values[i]);
        }
        for (Judged& r : judge(spec, mine, values, spec.backend)) judged.push_back(std::move(r));
        for (const std::string& other : also)
            if (other != spec.backend) note_factors(judge(spec, mine, values, other), result);
    }
    note_factors(judged, result);
    result.left_out = summary(judged);
}

Fitter::Rows Fitter::rows_of(const FitSpec& spec) const {
    Rows rows;
    for (const Point& p : points_) {
        const auto of = [&](const std::string& system) {
            return std::find(spec.systems.begin(), spec.systems.end(), system) != spec.systems.end();
        };
        // A ratio of energies tells of the machine it refers to as well.
        if ((of(p.system) || of(p.word_or("reference", ""))) && spec.uses(p)) rows.push_back(&p);
    }
    return rows;
}

FitResult Fitter::run(const FitSpec& spec, const std::vector<std::string>& also) {
    FitResult result;
    result.points = rows_of(spec);
    for (const FitSpec::Constant& c : spec.constants)
        result.stored.push_back(systems_.constant(c.in(spec.systems.front())).value);
    Rows rows;
    const std::vector<Judged> first = judge(spec, result.points, result.stored, spec.backend);
    for (const Judged& r : first)
        if (r.prediction.known) rows.push_back(r.point);
    result.as_stored = summary(first);
    if (rows.size() < spec.constants.size())
        throw Error(
            {spec.where,
             fmt::format("the fit \"{}\" has {} constants and {} rows that {} predicts", spec.name,
                         spec.constants.size(), rows.size(), spec.backend),
             "fewer rows than constants decide nothing",
             first.empty() || first.front().prediction.known ? "" : "First: " + first.front().prediction.reason + "."});
    result.points = rows;
    result.fitted = fit(spec, rows, result.stored);
    result.in_sample = summary(judge(spec, rows, result.fitted, spec.backend));
    leave_out(spec, also, result);
    systems_.restore();
    predictor_.forget();
    return result;
}

}  // namespace wb
