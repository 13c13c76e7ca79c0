// Reads and prints: compiled at -O1.
#include "harness/validate/error_summary.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "core/error.hpp"
#include "harness/stats.hpp"

namespace wb {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// Ranks from 1; equal values share the mean of theirs.
std::vector<double> ranks(std::span<const double> values) {
    std::vector<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t i, std::size_t j) { return values[i] < values[j]; });
    std::vector<double> out(values.size());
    for (std::size_t i = 0; i < order.size();) {
        std::size_t j = i;
        while (j < order.size() && values[order[j]] == values[order[i]]) ++j;
        for (std::size_t k = i; k < j; ++k) out[order[k]] = 0.5 * static_cast<double>(i + j + 1);
        i = j;
    }
    return out;
}

/// Seconds and tokens/s cannot be ranked together.
std::string commonest_metric(const std::vector<const Judged*>& rows) {
    std::map<std::string, std::size_t> count;
    for (const Judged* r : rows)
        if (r->prediction.known) ++count[r->point->metric];
    const auto most =
        std::max_element(count.begin(), count.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    return most == count.end() ? "" : most->first;
}

}  // namespace

double Judged::error() const { return std::abs(ratio() - 1); }

double Judged::time_factor() const {
    switch (point->sense()) {
        case Sense::time: return 1 / ratio();
        case Sense::rate: return ratio();
        case Sense::amount: break;
    }
    return nan;
}

double rank_correlation(std::span<const double> a, std::span<const double> b) {
    WB_EXPECT(a.size() == b.size());
    if (a.size() < 3) return nan;
    const std::vector<double> x = ranks(a), y = ranks(b);
    const double centre = 0.5 * static_cast<double>(a.size() + 1);
    double xy = 0, xx = 0, yy = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        xy += (x[i] - centre) * (y[i] - centre);
        xx += (x[i] - centre) * (x[i] - centre);
        yy += (y[i] - centre) * (y[i] - centre);
    }
    return xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : nan;
}

ErrorSummary summarise_errors(const std::vector<const Judged*>& rows) {
    ErrorSummary s;
    s.n = rows.size();
    std::vector<double> errors, signed_errors, predicted, measured;
    const std::string metric = commonest_metric(rows);
    s.worst = -1;
    for (const Judged* r : rows) {
        if (!r->prediction.known) continue;
        errors.push_back(r->error());
        signed_errors.push_back(r->ratio() - 1);
        if (r->point->metric == metric) {
            predicted.push_back(r->prediction.value);
            measured.push_back(r->point->value);
        }
        if (r->error() > s.worst) s.worst = r->error(), s.worst_id = r->point->id;
    }
    s.predicted = errors.size();
    if (errors.empty()) s.worst = nan;
    s.median = median(errors).value_or(nan);
    s.p90 = quantile(errors, 0.9).value_or(nan);
    s.bias = median(signed_errors).value_or(nan);
    s.rank_correlation = rank_correlation(predicted, measured);
    return s;
}

std::vector<ErrorSummary> summarise_groups(const std::vector<Judged>& rows, bool by_family) {
    struct Key {
        std::string name, family, backend;
        auto operator<=>(const Key&) const = default;
    };
    std::vector<Key> order;
    std::map<Key, std::vector<const Judged*>> groups;
    for (const Judged& r : rows) {
        const Key key{by_family ? r.point->workload : r.point->group, r.point->workload, r.backend};
        if (!groups.contains(key)) order.push_back(key);
        groups[key].push_back(&r);
    }
    std::stable_sort(order.begin(), order.end(), [](const Key& a, const Key& b) {
        return std::tie(a.family, a.name, a.backend) < std::tie(b.family, b.name, b.backend);
    });
    std::vector<ErrorSummary> out;
    for (const Key& key : order) {
        ErrorSummary s = summarise_errors(groups[key]);
        s.name = key.name;
        s.family = key.family;
        s.backend = key.backend;
        out.push_back(s);
    }
    return out;
}

}  // namespace wb
