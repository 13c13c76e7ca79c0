#include "harness/stats.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.hpp"

namespace wb {
namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

std::vector<double> sorted_copy(std::span<const double> sample) {
    std::vector<double> sorted(sample.begin(), sample.end());
    std::sort(sorted.begin(), sorted.end());
    return sorted;
}

/// Halfway without overflow; exact for equal values.
double middle(double a, double b) { return a == b ? a : a / 2 + b / 2; }

double median_of_sorted(std::span<const double> sorted) {
    const std::size_t n = sorted.size();
    return n % 2 ? sorted[n / 2] : middle(sorted[n / 2 - 1], sorted[n / 2]);
}

double quantile_of_sorted(std::span<const double> sorted, double p) {
    const double position = p * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(position);
    if (below + 1 >= sorted.size()) return sorted.back();
    const double fraction = position - static_cast<double>(below);
    if (sorted[below] == sorted[below + 1]) return sorted[below];
    return sorted[below] * (1 - fraction) + sorted[below + 1] * fraction;
}

double mad_of_sorted(std::span<const double> sorted) {
    const double centre = median_of_sorted(sorted);
    std::vector<double> distance;
    distance.reserve(sorted.size());
    for (double x : sorted) distance.push_back(std::abs(x - centre));
    std::sort(distance.begin(), distance.end());
    return median_of_sorted(distance);
}

Interval median_interval_of_sorted(std::span<const double> sorted, double confidence) {
    const MedianRanks ranks = median_ranks(sorted.size(), confidence);
    return {sorted[ranks.low], sorted[ranks.high], ranks.coverage};
}

/// Order-preserving map between doubles and integers, so that bisection over a double ends after 64 steps, exactly.
std::uint64_t key_of(double x) {
    const auto bits = std::bit_cast<std::uint64_t>(x);
    return bits >> 63 ? ~bits : bits | (std::uint64_t{1} << 63);
}
double value_of(std::uint64_t key) { return std::bit_cast<double>(key >> 63 ? key & ~(std::uint64_t{1} << 63) : ~key); }

/// How many Walsh averages (i <= j) are <= limit. Rounding keeps order, so the two pointers see a monotone matrix.
std::uint64_t walsh_at_most(std::span<const double> sorted, double limit) {
    std::uint64_t count = 0;
    std::size_t end = sorted.size();
    for (std::size_t i = 0; i < sorted.size(); ++i) {
        while (end > i && middle(sorted[i], sorted[end - 1]) > limit) --end;
        if (end <= i) break;
        count += end - i;
    }
    return count;
}

/// Walsh average number `rank` (zero-based) in increasing order.
double walsh_average(std::span<const double> sorted, std::uint64_t rank) {
    std::uint64_t low = key_of(sorted.front()), high = key_of(sorted.back());
    while (low < high) {
        const std::uint64_t half = low + (high - low) / 2;
        if (walsh_at_most(sorted, value_of(half)) > rank)
            high = half;
        else
            low = half + 1;
    }
    return value_of(low);
}

double resampled_median(std::span<const double> sample, std::vector<double>& draw, std::uint64_t seed,
                        std::uint64_t& counter) {
    draw.resize(sample.size());
    for (double& x : draw) {
        const std::uint64_t word = random_word(seed, counter++) >> 32;
        x = sample[static_cast<std::size_t>((word * sample.size()) >> 32)];
    }
    const auto half = draw.begin() + static_cast<std::ptrdiff_t>(draw.size() / 2);
    std::nth_element(draw.begin(), half, draw.end());
    return draw.size() % 2 ? *half : middle(*std::max_element(draw.begin(), half), *half);
}

std::vector<Outlier> outliers(std::span<const double> sample, double quartile1, double quartile3) {
    const double range = quartile3 - quartile1;
    std::vector<Outlier> kinds;
    kinds.reserve(sample.size());
    for (double x : sample) {
        const double outside = std::max(quartile1 - x, x - quartile3);
        kinds.push_back(outside > 3 * range ? Outlier::severe : outside > 1.5 * range ? Outlier::mild : Outlier::none);
    }
    return kinds;
}

}  // namespace

std::string_view name(SampleState state) {
    switch (state) {
        case SampleState::ok: return "ok";
        case SampleState::empty: return "empty";
        case SampleState::not_finite: return "not finite";
    }
    return "unknown";
}

SampleState state_of(std::span<const double> sample) {
    if (sample.empty()) return SampleState::empty;
    const bool finite = std::all_of(sample.begin(), sample.end(), [](double x) { return std::isfinite(x); });
    return finite ? SampleState::ok : SampleState::not_finite;
}

MedianRanks median_ranks(std::size_t n, double confidence) {
    WB_EXPECT(n >= 1 && confidence > 0 && confidence < 1);
    // P(Bin(n, 1/2) = k) from k = start on; the mass below start, more than 9 standard deviations out, is < 1e-18.
    const auto size = static_cast<double>(n);
    const double start = std::max(0.0, std::floor(size / 2 - 4.6 * std::sqrt(size)));
    double mass =
        std::exp(std::lgamma(size + 1) - std::lgamma(start + 1) - std::lgamma(size - start + 1) - size * std::log(2.0));
    double below = 0;  // P(Bin < k)
    const double tail = (1 - confidence) / 2;
    double k = start;
    while (k < std::floor((size - 1) / 2) && below + mass <= tail) {
        below += mass;
        mass *= (size - k) / (k + 1);
        ++k;
    }
    // [x(k), x(n-1-k)] misses the median when at most k values lie on one side of it.
    if (below == 0) return {0, n - 1, 1 - std::exp2(1 - size)};
    const auto low = static_cast<std::size_t>(k) - 1;
    return {low, n - 1 - low, 1 - 2 * below};
}

std::optional<double> median(std::span<const double> sample) {
    if (state_of(sample) != SampleState::ok) return std::nullopt;
    return median_of_sorted(sorted_copy(sample));
}

std::optional<double> quantile(std::span<const double> sample, double p) {
    WB_EXPECT(p >= 0 && p <= 1);
    if (state_of(sample) != SampleState::ok) return std::nullopt;
    return quantile_of_sorted(sorted_copy(sample), p);
}

std::optional<double> median_absolute_deviation(std::span<const double> sample) {
    if (state_of(sample) != SampleState::ok) return std::nullopt;
    return mad_of_sorted(sorted_copy(sample));
}

std::optional<Interval> median_interval(std::span<const double> sample, double confidence) {
    if (state_of(sample) != SampleState::ok) return std::nullopt;
    return median_interval_of_sorted(sorted_copy(sample), confidence);
}

std::optional<double> hodges_lehmann(std::span<const double> sample) {
    if (state_of(sample) != SampleState::ok) return std::nullopt;
    const std::vector<double> sorted = sorted_copy(sample);
    const std::uint64_t n = sorted.size(), pairs = n * (n + 1) / 2;
    const double upper = walsh_average(sorted, pairs / 2);
    return pairs % 2 ? upper : middle(walsh_average(sorted, pairs / 2 - 1), upper);
}

std::optional<Interval> ratio_of_medians_interval(std::span<const double> numerator,
                                                  std::span<const double> denominator, std::uint64_t seed,
                                                  double confidence, int resamples) {
    WB_EXPECT(resamples >= 100 && confidence > 0 && confidence < 1);
    const auto unfit = [](std::span<const double> sample) {
        return state_of(sample) != SampleState::ok || *std::min_element(sample.begin(), sample.end()) <= 0;
    };
    if (unfit(numerator) || unfit(denominator)) return std::nullopt;
    std::vector<double> ratios, draw;
    std::uint64_t counter = 0;
    for (int i = 0; i < resamples; ++i) {
        const double top = resampled_median(numerator, draw, seed, counter);
        ratios.push_back(top / resampled_median(denominator, draw, seed, counter));
    }
    std::sort(ratios.begin(), ratios.end());
    const double tail = (1 - confidence) / 2;
    return Interval{quantile_of_sorted(ratios, tail), quantile_of_sorted(ratios, 1 - tail), confidence};
}

std::optional<std::vector<Outlier>> classify_outliers(std::span<const double> sample) {
    if (state_of(sample) != SampleState::ok) return std::nullopt;
    const std::vector<double> sorted = sorted_copy(sample);
    return outliers(sample, quantile_of_sorted(sorted, 0.25), quantile_of_sorted(sorted, 0.75));
}

double relative_width(const Interval& interval, double centre) {
    const double width = interval.high - interval.low;
    return width == 0 ? 0 : width / std::abs(centre);
}

Summary summarise(std::span<const double> sample, double confidence) {
    Summary s{};
    s.n = sample.size();
    s.state = state_of(sample);
    if (s.state != SampleState::ok) {
        s.min = s.max = s.mean = s.median = s.mad = s.quartile1 = s.quartile3 = s.noise = not_a_number;
        s.median_interval = {not_a_number, not_a_number, 0};
        return s;
    }
    const std::vector<double> sorted = sorted_copy(sample);
    s.min = sorted.front();
    s.max = sorted.back();
    // The sum's rounding must not push the mean outside the data.
    s.mean = std::clamp(std::accumulate(sorted.begin(), sorted.end(), 0.0) / static_cast<double>(s.n), s.min, s.max);
    s.median = median_of_sorted(sorted);
    s.mad = mad_of_sorted(sorted);
    s.quartile1 = quantile_of_sorted(sorted, 0.25);
    s.quartile3 = quantile_of_sorted(sorted, 0.75);
    s.median_interval = median_interval_of_sorted(sorted, confidence);
    s.noise = relative_width(s.median_interval, s.median);
    for (Outlier kind : outliers(sorted, s.quartile1, s.quartile3)) {
        s.mild_outliers += kind == Outlier::mild;
        s.severe_outliers += kind == Outlier::severe;
    }
    return s;
}

std::uint64_t random_word(std::uint64_t seed, std::uint64_t counter) {
    // splitmix64's finaliser (Steele, Lea, Flood 2014) over an odd multiple of the counter, keyed twice by the seed.
    const auto mix = [](std::uint64_t z) {
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    };
    return mix(mix(seed + 0x9e3779b97f4a7c15u) ^ (counter * 0x9e3779b97f4a7c15u));
}

}  // namespace wb
