#include "harness/stats.hpp"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <limits>

using namespace wb;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// Whole numbers, so that shifting and doubling are exact.
rc::Gen<std::vector<double>> whole_numbers() {
    return rc::gen::nonEmpty(rc::gen::container<std::vector<double>>(
        rc::gen::map(rc::gen::inRange(-1000, 1000), [](int x) { return static_cast<double>(x); })));
}

double binomial_cdf(int n, int k) {
    double sum = 0, term = std::exp2(-n);
    for (int i = 0; i <= k; ++i) {
        sum += term;
        term *= static_cast<double>(n - i) / (i + 1);
    }
    return sum;
}

}  // namespace

TEST_CASE("order statistics of small samples") {
    const std::vector<double> one{3}, two{1, 2}, five{9, 1, 5, 3, 7}, equal(8, 4.25);
    CHECK(median(one) == 3.0);
    CHECK(median(two) == 1.5);
    CHECK(median(five) == 5.0);
    CHECK(median(equal) == 4.25);
    CHECK(quantile(five, 0) == 1.0);
    CHECK(quantile(five, 0.25) == 3.0);
    CHECK(quantile(five, 1) == 9.0);
    CHECK(quantile(two, 0.25) == 1.25);
    CHECK(median_absolute_deviation(five) == 2.0);
    CHECK(median_absolute_deviation(equal) == 0.0);
    CHECK(hodges_lehmann(two) == 1.5);
    CHECK(hodges_lehmann(std::vector<double>{0, 1, 5}) == 1.75);  // 0 .5 1 | 2.5 3 5
    CHECK(median(std::vector<double>{1e308, 1.5e308}) == 1.25e308);
}

TEST_CASE("ranks of the median's interval are the exact binomial ones") {
    // n, zero-based low rank; e.g. Conover, Practical Nonparametric Statistics, table of the binomial at p = 1/2.
    const std::vector<std::pair<std::size_t, std::size_t>> table{{6, 0},  {8, 0},  {9, 1},  {10, 1},
                                                                 {12, 2}, {15, 3}, {20, 5}, {25, 7}};
    for (auto [n, low] : table) {
        CAPTURE(n);
        const MedianRanks ranks = median_ranks(n);
        CHECK(ranks.low == low);
        CHECK(ranks.high == n - 1 - low);
        CHECK(ranks.coverage == doctest::Approx(1 - 2 * binomial_cdf(static_cast<int>(n), static_cast<int>(low))));
    }
    for (std::size_t n = 6; n < 900; ++n) {
        const MedianRanks ranks = median_ranks(n);
        const auto size = static_cast<int>(n), low = static_cast<int>(ranks.low);
        REQUIRE(1 - 2 * binomial_cdf(size, low) >= 0.95);
        if (ranks.low + 1 < ranks.high) REQUIRE(1 - 2 * binomial_cdf(size, low + 1) < 0.95);
    }
    CHECK(median_ranks(1).coverage == 0);
    CHECK(median_ranks(2).coverage == 0.5);
    CHECK(median_ranks(5).coverage == 0.9375);
    // Large n follows the normal limit: n/2 - 1.96 sqrt(n)/2.
    CHECK(median_ranks(1'000'000).low == doctest::Approx(500000 - 980).epsilon(1e-5).scale(0));
}

TEST_CASE("what is not a number is an error state, never a verdict") {
    for (const std::vector<double>& bad : {std::vector<double>{}, {1, not_a_number, 2}, {inf}, {-inf, inf}}) {
        CHECK(state_of(bad) != SampleState::ok);
        CHECK_FALSE(median(bad));
        CHECK_FALSE(quantile(bad, 0.5));
        CHECK_FALSE(median_absolute_deviation(bad));
        CHECK_FALSE(median_interval(bad));
        CHECK_FALSE(hodges_lehmann(bad));
        CHECK_FALSE(classify_outliers(bad));
        CHECK_FALSE(ratio_of_medians_interval(bad, std::vector<double>{1}, 1));
        CHECK_FALSE(ratio_of_medians_interval(std::vector<double>{1}, bad, 1));
        CHECK(std::isnan(summarise(bad).median));
        CHECK(std::isnan(summarise(bad).noise));
    }
    CHECK(summarise({}).state == SampleState::empty);
    CHECK(summarise(std::vector<double>{not_a_number}).state == SampleState::not_finite);
    CHECK_FALSE(ratio_of_medians_interval(std::vector<double>{1}, std::vector<double>{0}, 1));
}

TEST_CASE("a summary of one, two and equal values is finite") {
    const Summary one = summarise(std::vector<double>{2});
    CHECK(one.median_interval.low == 2);
    CHECK(one.median_interval.high == 2);
    CHECK(one.median_interval.coverage == 0);
    CHECK(one.noise == 0);
    const Summary two = summarise(std::vector<double>{1, 3});
    CHECK(two.noise == 1);
    const Summary zeros = summarise(std::vector<double>(10, 0.0));
    CHECK(zeros.noise == 0);
    CHECK(zeros.severe_outliers == 0);
    CHECK(summarise(std::vector<double>(7, 0.1)).mean == 0.1);
}

TEST_CASE("Tukey's fences classify and keep") {
    // Quartiles 2 and 4, range 2: mild beyond 7 and -1, severe beyond 10 and -4.
    const std::vector<double> sample{1, 2, 2, 3, 3, 3, 4, 4, 5, 7.5, 11};
    const double q1 = *quantile(sample, 0.25), q3 = *quantile(sample, 0.75);
    CHECK(q1 == 2.5);
    CHECK(q3 == 4.5);
    const auto kinds = *classify_outliers(sample);
    CHECK(kinds.size() == sample.size());
    CHECK(kinds[9] == Outlier::none);  // the fence itself is inside: 4.5 + 1.5 * 2
    CHECK(kinds[10] == Outlier::severe);
    CHECK(summarise(sample).severe_outliers == 1);
    CHECK((*classify_outliers(std::vector<double>{1, 2, 2, 3, 3, 3, 4, 4, 5, 8, 9}))[9] == Outlier::mild);
}

TEST_CASE("laws of the statistics") {
    CHECK(rc::check("the interval holds the median, which lies between the extremes", [] {
        const auto sample = *whole_numbers();
        const Summary s = summarise(sample);
        RC_ASSERT(s.median_interval.contains(s.median));
        RC_ASSERT(s.min <= s.quartile1 && s.quartile1 <= s.median && s.median <= s.quartile3 && s.quartile3 <= s.max);
        RC_ASSERT(s.min <= s.mean && s.mean <= s.max);
    }));
    CHECK(rc::check("shift and scale", [] {
        const auto sample = *whole_numbers();
        auto moved = sample;
        for (double& x : moved) x = 4 * x + 100;
        RC_ASSERT(*median(moved) == 4 * *median(sample) + 100);
        RC_ASSERT(*hodges_lehmann(moved) == 4 * *hodges_lehmann(sample) + 100);
        RC_ASSERT(*median_absolute_deviation(moved) == 4 * *median_absolute_deviation(sample));
        RC_ASSERT(*classify_outliers(moved) == *classify_outliers(sample));
        RC_ASSERT(median_interval(moved)->low == 4 * median_interval(sample)->low + 100);
    }));
    CHECK(rc::check("order does not matter", [] {
        auto sample = *whole_numbers();
        const Summary before = summarise(sample);
        std::reverse(sample.begin(), sample.end());
        RC_ASSERT(summarise(sample).median == before.median);
        RC_ASSERT(summarise(sample).mad == before.mad);
    }));
    CHECK(rc::check("Hodges-Lehmann equals the table of all pairs", [] {
        const auto sample = *whole_numbers();
        std::vector<double> pairs;
        for (std::size_t i = 0; i < sample.size(); ++i)
            for (std::size_t j = i; j < sample.size(); ++j) pairs.push_back((sample[i] + sample[j]) / 2);
        RC_ASSERT(*hodges_lehmann(sample) == *median(pairs));
    }));
}

TEST_CASE("the bootstrap is deterministic, holds the ratio, and covers as it says") {
    std::vector<double> a, b;
    for (int i = 0; i < 40; ++i) {
        a.push_back(1.10 + 0.001 * static_cast<double>(random_word(1, i) % 100));
        b.push_back(1.00 + 0.001 * static_cast<double>(random_word(2, i) % 100));
    }
    const Interval first = *ratio_of_medians_interval(a, b, 7), again = *ratio_of_medians_interval(a, b, 7);
    CHECK(first.low == again.low);
    CHECK(first.high == again.high);
    CHECK(first.contains(*median(a) / *median(b)));
    CHECK(first.low > 1.0);
    const Interval one = *ratio_of_medians_interval(std::vector<double>{6}, std::vector<double>{2}, 7);
    CHECK(one.low == 3);
    CHECK(one.high == 3);

    int covered = 0, median_covered = 0;
    for (std::uint64_t trial = 0; trial < 300; ++trial) {
        std::vector<double> x, y;
        for (std::uint64_t i = 0; i < 25; ++i) {
            x.push_back(1 + std::ldexp(static_cast<double>(random_word(trial, i) >> 11), -53));
            y.push_back(1 + std::ldexp(static_cast<double>(random_word(trial, 100 + i) >> 11), -53));
        }
        covered += ratio_of_medians_interval(x, y, trial, 0.95, 200)->contains(1.0);
        median_covered += median_interval(x)->contains(1.5);
    }
    CHECK(covered >= 270);  // 95 % of 300 is 285; 270 is 4 standard deviations below
    CHECK(median_covered >= 270);
}
