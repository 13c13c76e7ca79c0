#include "harness/stopping.hpp"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <cmath>
#include <limits>

#include "core/error.hpp"
#include "harness/stats.hpp"

using namespace wb;

namespace {

double no_clock() { return 0; }

double uniform(std::uint64_t seed, std::uint64_t i) {
    return std::ldexp(static_cast<double>(random_word(seed, i) >> 11), -53);
}

/// Feeds `sample(i)` until the rule says stop.
template <class Sample>
Stopping feed(const StoppingRule& rule, Sample sample) {
    Stopping stopping(rule, no_clock);
    for (int i = 0; !stopping.finished(); ++i) stopping.add(sample(i));
    return stopping;
}

}  // namespace

TEST_CASE("quiet samples stop at min_samples, once min_time is reached") {
    const StoppingRule rule{10, 1000, 0.0, 60, 0.05};
    const Stopping quick = feed(rule, [](int) { return 0.5; });
    CHECK(quick.count() == 10);
    CHECK(quick.verdict() == Stopping::Verdict::noise);
    CHECK(quick.reason() == "noise reached 0 % <= 5 %");
    StoppingRule slow = rule;
    slow.min_time_s = 20;
    CHECK(feed(slow, [](int) { return 0.5; }).count() == 40);
}

TEST_CASE("no noise is believed before six samples") {
    CHECK(feed({1, 1000, 0, 60, 0.05}, [](int) { return 1.0; }).count() == 6);
    const Stopping three = feed({1, 3, 0, 60, 0.05}, [](int) { return 1.0; });
    CHECK(three.reason() == "max_samples: 3 samples in 3 s, noise still unknown > 5 %");
}

TEST_CASE("every kind of sample ends") {
    CHECK(feed({10, 1000, 0.1, 60, 0.05}, [](int) { return 0.0; }).reason() ==
          "max_samples: 1000 samples in 0 s, noise 0 % <= 5 %");
    const Stopping wild = feed({10, 500, 0.1, 1e9, 0.05}, [](int i) { return i % 2 ? 1.0 : 1000.0; });
    CHECK(wild.verdict() == Stopping::Verdict::max_samples);
    CHECK(wild.reason() == "max_samples: 500 samples in 2.5e+05 s, noise still 2e+02 % > 5 %");
    const Stopping slow = feed({10, 500, 0, 30, 0.05}, [](int i) { return i % 2 ? 1.0 : 9.0; });
    CHECK(slow.reason() == "timeout: 30 s in 6 samples, noise still 1.6e+02 % > 5 %");
    // A median of zero with other values present: infinitely noisy, not "quiet".
    CHECK(feed({10, 50, 0, 60, 0.05}, [](int i) { return i % 2 ? 1e-9 : 0.0; }).verdict() ==
          Stopping::Verdict::max_samples);
}

TEST_CASE("a sample that is no time ends the sampling as bad") {
    for (double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), -1e-9}) {
        const Stopping stopping = feed({10, 500, 0, 30, 0.05}, [&](int i) { return i == 6 ? bad : 1.0; });
        CHECK(stopping.verdict() == Stopping::Verdict::bad_sample);
        CHECK(stopping.count() == 7);
    }
    Stopping stopping({10, 500, 0, 30, 0.05}, no_clock);
    stopping.add(-2);
    CHECK(stopping.reason() == "sample 1 is -2 s, which is not a time");
    CHECK_THROWS_AS(stopping.add(1), ContractError);
}

TEST_CASE("time on the wall counts, even where samples say zero") {
    double now = 100;
    Stopping stopping({10, 1'000'000, 0.1, 5, 0.05}, [&] { return now; });
    while (!stopping.finished()) {
        now += 0.25;
        stopping.add(0);
    }
    CHECK(stopping.count() == 20);
    CHECK(stopping.verdict() == Stopping::Verdict::timeout);
}

TEST_CASE("a rule that contradicts itself is the user's mistake") {
    CHECK_THROWS_AS(Stopping({0, 10, 0, 1, 0.05}), Error);
    CHECK_THROWS_AS(Stopping({10, 9, 0, 1, 0.05}), Error);
    CHECK_THROWS_AS(Stopping({1, 10, 0, 0, 0.05}), Error);
    CHECK_THROWS_AS(Stopping({1, 10, 2, 1, 0.05}), Error);
    CHECK_THROWS_AS(Stopping({1, 10, 0, 1, -1}), Error);
    CHECK_THROWS_AS(Stopping({1, 10, 0, 1, std::nan("")}), Error);
    CHECK_THROWS_WITH(
        Stopping({10, 9, 0, 1, 0.05}),
        "stopping rule: max_samples = 9 is below min_samples = 10 (both cannot hold). Raise max_samples.");
}

TEST_CASE("the noise it stops on is the one the statistics report") {
    CHECK(rc::check("same number as summarise()", [] {
        const auto seed = *rc::gen::arbitrary<std::uint32_t>();
        const auto spread = *rc::gen::elementOf(std::vector<double>{0.001, 0.1, 1, 30});
        std::vector<double> kept;
        const StoppingRule rule{*rc::gen::inRange(1, 20), *rc::gen::inRange(20, 400), 0, 1e9, 0.05};
        const Stopping stopping = feed(rule, [&](int i) {
            kept.push_back(1 + spread * uniform(seed, static_cast<std::uint64_t>(i)));
            return kept.back();
        });
        RC_ASSERT(stopping.noise() == summarise(kept).noise);
        RC_ASSERT(stopping.count() >= rule.min_samples && stopping.count() <= rule.max_samples);
        // Between two looks the last sample allowed may happen to be quiet enough: then the limit is the reason.
        RC_ASSERT(stopping.verdict() != Stopping::Verdict::noise || stopping.noise() <= rule.max_noise);
    }));
}

TEST_CASE("a million noisy samples end in seconds: the cost of a sample does not grow") {
    const Stopping stopping =
        feed({10, 1'000'000, 0, 1e9, 1e-6}, [](int i) { return 1 + uniform(5, static_cast<std::uint64_t>(i)); });
    CHECK(stopping.count() == 1'000'000);
    CHECK(stopping.noise() == doctest::Approx(1.96 * 1e-3 / 1.5).epsilon(0.1).scale(0));
}
