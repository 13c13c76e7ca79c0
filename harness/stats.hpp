#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace wb {

/// Whether statistics of a sample mean anything. Everything but `ok` must be shown as an error, never as "no change".
enum class SampleState { ok, empty, not_finite };

std::string_view name(SampleState state);
SampleState state_of(std::span<const double> sample);

/// A closed interval and the probability, before the data were seen, that it holds the true value.
struct Interval {
    double low = 0, high = 0;
    double coverage = 0;

    bool contains(double x) const { return low <= x && x <= high; }
};

/// Zero-based ranks of the order statistics that bound the median; `coverage` < the confidence asked for where n is
/// too small to reach it (n < 6 at 95 %): then low = 0 and high = n - 1.
struct MedianRanks {
    std::size_t low = 0, high = 0;
    double coverage = 0;
};
/// n >= 1. Distribution-free: P(Bin(n, 1/2) < low or > high) is exact, whatever the distribution.
MedianRanks median_ranks(std::size_t n, double confidence = 0.95);

// Every function below returns nullopt when the sample is empty or holds a NaN or an infinity.

std::optional<double> median(std::span<const double> sample);
/// Linear interpolation between order statistics (R type 7); 0 <= p <= 1.
std::optional<double> quantile(std::span<const double> sample, double p);
/// Median of |x - median|, unscaled.
std::optional<double> median_absolute_deviation(std::span<const double> sample);
std::optional<Interval> median_interval(std::span<const double> sample, double confidence = 0.95);
/// Median of all (x_i + x_j) / 2, i <= j: robust centre. Exact, O(n log n), no table of pairs.
std::optional<double> hodges_lehmann(std::span<const double> sample);
/// Percentile bootstrap of median(numerator) / median(denominator). Same seed, same answer on every machine.
/// Also nullopt if a value of either sample is <= 0: a ratio of times needs times.
std::optional<Interval> ratio_of_medians_interval(std::span<const double> numerator,
                                                  std::span<const double> denominator, std::uint64_t seed,
                                                  double confidence = 0.95, int resamples = 2000);

/// Tukey's fences: mild beyond 1.5, severe beyond 3 interquartile ranges from the quartiles. Outliers are kept.
enum class Outlier : unsigned char { none, mild, severe };
/// One entry per value, in order.
std::optional<std::vector<Outlier>> classify_outliers(std::span<const double> sample);

/// What one row of a table says about one sample.
struct Summary {
    SampleState state = SampleState::empty;  ///< unless ok, every number below is NaN
    std::size_t n = 0;
    double min, max, mean, median, mad;
    double quartile1, quartile3;
    Interval median_interval;
    double noise;  ///< (high - low) / |median|; 0 for equal values, infinite where the median is 0 and values differ
    std::size_t mild_outliers = 0, severe_outliers = 0;
};
Summary summarise(std::span<const double> sample, double confidence = 0.95);

/// Relative width of an interval as `Summary::noise` defines it.
double relative_width(const Interval& interval, double centre);

/// Random 64-bit word number `counter` of stream `seed`: no state, so any order and any machine give the same words.
std::uint64_t random_word(std::uint64_t seed, std::uint64_t counter);

}  // namespace wb
