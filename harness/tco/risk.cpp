#include "harness/tco/risk.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace wb::tco {
namespace {

/// Pearson's correlation of two orders of 0 .. n-1 without ties: 1 - 6 sum(d^2) / (n (n^2 - 1)).
template <class Ranks>
double spearman(const Ranks& a, const std::vector<std::uint32_t>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < b.size(); ++i) {
        const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
        sum += d * d;
    }
    const auto n = static_cast<double>(b.size());
    return 1 - 6 * sum / (n * (n * n - 1));
}

}  // namespace

double Swing::size() const { return std::abs(at_high - at_low); }

std::vector<std::uint32_t> ranks_of(const std::vector<double>& values) {
    std::vector<std::uint32_t> order(values.size()), out(values.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&](std::uint32_t x, std::uint32_t y) { return values[x] < values[y]; });
    for (std::uint32_t i = 0; i < order.size(); ++i) out[order[i]] = i;
    return out;
}

std::vector<Swing> tornado(const Study& study, const Row& row, const Unit& unit) {
    std::vector<Swing> out;
    const double mode = row.cost(unit), per_useful = mode / row.hour->mode.useful();
    std::vector<double> values = study.draws().modes();
    for (std::size_t i = 0; i < values.size(); ++i) {
        const Assumption& a = study.book().all()[i];
        if (!row.hour->asked[i] || !(a.low < a.high)) continue;
        const auto at = [&](double v) {
            const double kept = values[i];
            values[i] = v;
            const double cost = hourly_cost(row.bill, row.use, {values.data()}).useful() * per_useful;
            values[i] = kept;
            return cost;
        };
        const Swing s{static_cast<int>(i), at(a.low), at(a.high)};
        if (s.size() > 0) out.push_back(s);
    }
    if (row.yield.low < row.yield.high) out.push_back({-1, mode * row.yield.low, mode * row.yield.high});
    std::stable_sort(out.begin(), out.end(), [](const Swing& x, const Swing& y) { return x.size() > y.size(); });
    return out;
}

double sobol_first(std::span<const std::uint32_t> ranks, const std::vector<double>& values) {
    const std::size_t n = values.size(), parts = std::max<std::size_t>(2, std::min<std::size_t>(50, n / 20));
    if (n < 40) return 0;
    const double mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(n);
    std::vector<double> sum(parts, 0), square(parts, 0), count(parts, 0);
    double all = 0;
    for (std::size_t t = 0; t < n; ++t) {
        const std::size_t part = ranks[t] * parts / n;
        const double d = values[t] - mean;
        sum[part] += d, square[part] += d * d, count[part] += 1;
        all += d * d;
    }
    if (!(all > 0)) return 0;
    double between = 0;
    for (std::size_t p = 0; p < parts; ++p) {
        const double middle = sum[p] / count[p], within = (square[p] - sum[p] * middle) / (count[p] - 1);
        between += count[p] * middle * middle - within;
    }
    return std::max(0.0, between / all);
}

std::vector<Importance> importance(const Study& study, const Row& row, const Unit& unit) {
    std::vector<Importance> out;
    const std::vector<double> costs = row.cost_trials(unit);
    const std::vector<std::uint32_t> cost = ranks_of(costs);
    for (std::size_t i = 0; i < row.hour->asked.size(); ++i) {
        const auto ranks = study.draws().ranks(static_cast<int>(i));
        if (row.hour->asked[i] && !ranks.empty())
            out.push_back({static_cast<int>(i), spearman(ranks, cost), sobol_first(ranks, costs)});
    }
    if (row.yield.low < row.yield.high) {
        const std::vector<std::uint32_t> ranks = ranks_of(row.slowness);
        out.push_back({-1, spearman(ranks, cost), sobol_first(ranks, costs)});
    }
    std::stable_sort(out.begin(), out.end(), [](const Importance& x, const Importance& y) {
        return std::abs(x.correlation) > std::abs(y.correlation);
    });
    return out;
}

double chance_cheaper(const std::vector<double>& a, const std::vector<double>& b) {
    std::size_t less = 0;
    for (std::size_t t = 0; t < a.size(); ++t) less += a[t] < b[t] ? 1 : 0;
    return a.empty() ? 0 : static_cast<double>(less) / static_cast<double>(a.size());
}

}  // namespace wb::tco
