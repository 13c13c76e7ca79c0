#include "harness/serving/engine.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "core/arrivals.hpp"
#include "core/error.hpp"
#include "harness/serving/fleet.hpp"

using namespace wb;
using namespace wb::serving;

namespace {

/// Step times by a formula, and every step that was asked for.
class Formula final : public StepTimes {
public:
    explicit Formula(std::function<double(const Step&)> f) : f_(std::move(f)) {}
    double seconds(const Step& s) override {
        most_decodes = std::max(most_decodes, s.decodes);
        most_tokens = std::max(most_tokens, s.prompt_tokens + s.decodes);
        return f_(s);
    }
    std::int64_t most_decodes = 0, most_tokens = 0;

private:
    std::function<double(const Step&)> f_;
};

/// Proportional to what is worked on, with a fixed part: never faster for more.
double plausible(const Step& s) {
    return 0.01 + 1e-4 * static_cast<double>(s.prompt_tokens) + 1e-9 * s.context_pairs +
           1e-3 * static_cast<double>(s.decodes) + 1e-6 * s.cached_tokens;
}

std::vector<Request> alike(int n, std::int64_t input, std::int64_t output) {
    return std::vector<Request>(static_cast<std::size_t>(n), Request{0, input, output});
}

rc::Gen<std::vector<Request>> any_requests() {
    return rc::gen::map(rc::gen::nonEmpty(rc::gen::container<std::vector<std::tuple<int, int, int>>>(rc::gen::tuple(
                            rc::gen::inRange(0, 400), rc::gen::inRange(1, 300), rc::gen::inRange(1, 60)))),
                        [](const std::vector<std::tuple<int, int, int>>& of) {
                            std::vector<Request> out;
                            double now = 0;
                            for (const auto& [gap, input, output] : of) {
                                now += gap / 1000.0;
                                out.push_back({now, input, output});
                            }
                            return out;
                        });
}

Engine any_engine() {
    Engine e;
    e.policy = *rc::gen::element(BatchPolicy::prefill_first, BatchPolicy::mixed, BatchPolicy::chunked);
    e.max_batch = *rc::gen::inRange(0, 9);
    e.token_budget = *rc::gen::inRange(8, 600);
    e.cache_tokens = *rc::gen::element(0.0, 400.0, 2000.0);
    e.together = *rc::gen::inRange(1, 6);
    return e;
}

double mean_wait(double rate, double service, std::int64_t n) {
    // One request at a time, answers of one token: an M/D/1 queue.
    Formula fixed([=](const Step&) { return service; });
    const auto requests = requests_of({fmt::format("poisson:{}/s", rate), "fixed", n, 1, 1, 7});
    Engine one;
    one.max_batch = 1;
    one.token_budget = 1;
    const Trace t = simulate(requests, one, fixed);
    double sum = 0;
    for (std::size_t i = 0; i < requests.size(); ++i)
        sum += t.served[i].first_token_s - requests[i].arrival_s - service;
    return sum / static_cast<double>(requests.size());
}

}  // namespace

TEST_CASE("one server with fixed times is an M/D/1 queue: Pollaczek and Khinchine") {
    for (const double load : {0.3, 0.5, 0.7}) {
        const double service = 0.1, rate = load / service;
        const double expected = load * service / (2 * (1 - load));
        CAPTURE(load);
        CHECK(mean_wait(rate, service, 1'000'000) == doctest::Approx(expected).epsilon(0.02).scale(0));
    }
}

TEST_CASE("requests that fit together take one prefill and a step for every further token") {
    Formula f([](const Step& s) { return s.prompts > 0 ? 2.0 : 0.5; });
    Engine e;
    e.policy = BatchPolicy::prefill_first;
    const Trace t = simulate(alike(8, 100, 11), e, f);
    CHECK(t.steps == 11);
    CHECK(t.makespan_s == doctest::Approx(2 + 10 * 0.5));
    CHECK(t.mean_batch == 8);
    for (const Served& s : t.served) {
        CHECK(s.first_token_s == doctest::Approx(2));
        CHECK(s.finish_s == doctest::Approx(7));
    }
}

TEST_CASE("a cache for two at a time serves four in two rounds") {
    Formula f([](const Step&) { return 1.0; });
    Engine e;
    e.cache_tokens = 2 * 15;
    const Trace t = simulate(alike(4, 10, 5), e, f);
    CHECK(t.makespan_s == doctest::Approx(10));
    CHECK(t.peak_cache_tokens == 30);
    CHECK(f.most_decodes == 2);
    CHECK_NOTHROW(simulate(alike(1, 25, 5), e, f));
    CHECK_THROWS_AS(simulate(alike(1, 26, 5), e, f), Error);
}

TEST_CASE("prompts that wait for each other are read in fewer steps; the last ones do not wait for ever") {
    std::vector<Request> requests;
    for (int i = 0; i < 9; ++i) requests.push_back({0, 10, i % 2 == 0 ? 10 : 20});
    Engine e;
    e.cache_tokens = 60;  // two requests
    const auto reading_steps = [&](std::int64_t together) {
        int n = 0;
        Formula f([&](const Step& s) {
            n += s.prompts > 0;
            return s.prompts > 0 ? 2.0 : 0.01;
        });
        e.together = together;
        const Trace t = simulate(requests, e, f);
        for (const Served& s : t.served) CHECK(s.finish_s > 0);
        return n;
    };
    CHECK(reading_steps(1) == 6);  // two at once, then each as a place is free: two places at once now and then
    CHECK(reading_steps(2) == 5);
    CHECK(reading_steps(3) == 5);  // three never fit: they enter when nothing decodes
}

TEST_CASE("a chunked prompt takes as many steps as it has budgets, and pays for what it read before") {
    double pairs = 0;
    Formula f([&](const Step& s) {
        pairs += s.context_pairs;
        return 1.0;
    });
    Engine e;
    e.policy = BatchPolicy::chunked;
    e.token_budget = 256;
    const Trace t = simulate(alike(1, 1000, 1), e, f);
    CHECK(t.steps == 4);
    CHECK(t.served[0].first_token_s == doctest::Approx(4));
    CHECK(pairs == doctest::Approx(256 * 256 + 256 * 512 + 232 * 768));
}

TEST_CASE("decoding stalls behind prompts that go first, and does not beside them") {
    const std::vector<Request> two{{0, 100, 100}, {0.5, 4000, 2}};
    const auto last = [&](BatchPolicy policy) {
        Formula f(plausible);
        Engine e;
        e.policy = policy;
        e.token_budget = 512;
        return simulate(two, e, f).served[0].finish_s;
    };
    CHECK(last(BatchPolicy::prefill_first) > 0.3 + last(BatchPolicy::chunked) - 0.3);
}

TEST_CASE("whatever comes: every token is made once, nobody starves, the cache never overflows") {
    CHECK(rc::check([] {
        const std::vector<Request> requests = *any_requests();
        const Engine e = any_engine();
        Formula f(plausible);
        const Trace t = simulate(requests, e, f);
        std::int64_t in = 0, out = 0;
        for (const Request& r : requests) in += r.input, out += r.output;
        RC_ASSERT(t.prompt_tokens == in);
        RC_ASSERT(t.new_tokens == out);
        if (e.cache_tokens > 0) RC_ASSERT(t.peak_cache_tokens <= e.cache_tokens);
        if (e.max_batch > 0) RC_ASSERT(f.most_decodes <= e.max_batch);
        double last = 0;
        for (std::size_t i = 0; i < requests.size(); ++i) {
            RC_ASSERT(t.served[i].first_token_s > requests[i].arrival_s);
            RC_ASSERT(t.served[i].finish_s >= t.served[i].first_token_s);
            if (i > 0) RC_ASSERT(t.served[i].first_token_s >= last);  // first come, first served
            last = t.served[i].first_token_s;
        }
        RC_ASSERT(t.busy_s <= t.makespan_s + 1e-9);
    }));
}

TEST_CASE("more load waits longer, and never yields less") {
    double wait = 0, rate = 0;
    for (const double load : {1.0, 2.0, 4.0, 8.0, 16.0}) {
        Formula f(plausible);
        Engine e;
        e.cache_tokens = 8000;
        const auto requests = requests_of({fmt::format("poisson:{}/s", load), "uniform", 2000, 200, 50, 3});
        const Trace t = simulate(requests, e, f);
        double sum = 0;
        for (std::size_t i = 0; i < requests.size(); ++i) sum += t.served[i].first_token_s - requests[i].arrival_s;
        CHECK(sum >= wait);
        CHECK(2000 / t.makespan_s >= rate * 0.999);
        wait = sum;
        rate = 2000 / t.makespan_s;
    }
}
