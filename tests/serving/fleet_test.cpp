#include "harness/serving/fleet.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "core/arrivals.hpp"
#include "core/error.hpp"

using namespace wb;
using namespace wb::serving;

namespace {

class Steady final : public StepTimes {
public:
    double seconds(const Step& s) override {
        return 0.005 + 2e-5 * static_cast<double>(s.prompt_tokens) + 1e-4 * static_cast<double>(s.decodes);
    }
};

Serving with_level(double ttft_s, double tpot_s) {
    Serving s;
    s.requests = requests_of({"poisson:1/s", "uniform", 4000, 300, 100, 5});
    s.ttft_s = ttft_s;
    s.tpot_s = tpot_s;
    s.knee = true;
    return s;
}

std::string message(const std::function<void()>& action) {
    try {
        action();
    } catch (const Error& e) {
        return e.what();
    }
    return "";
}

std::string trace_message(const std::string& text) {
    const auto path = std::filesystem::temp_directory_path() / fmt::format("wb_trace_{}.csv", ::getpid());
    std::ofstream(path) << text;
    std::string out = message([&] { read_trace(path.string()); });
    std::filesystem::remove(path);
    return out;
}

}  // namespace

TEST_CASE("two replicas serve alternate requests as one serves half of them") {
    Steady times;
    const auto requests = requests_of({"poisson:3/s", "uniform", 400, 100, 30, 2});
    std::vector<Request> even;
    for (std::size_t i = 0; i < requests.size(); i += 2) even.push_back(requests[i]);
    Fleet fleet;
    const FleetRun alone = serve(even, fleet, times);
    fleet.replicas = 2;
    const FleetRun both = serve(requests, fleet, times);
    for (std::size_t i = 0; i < even.size(); ++i) CHECK(both.served[2 * i].finish_s == alone.served[i].finish_s);
    std::int64_t tokens = 0;
    for (const Request& r : requests) tokens += r.output;
    CHECK(both.sum.new_tokens == tokens);
}

TEST_CASE("disaggregated: the second token waits for the cache, the first does not") {
    Steady times;
    Fleet fleet;
    fleet.engine.policy = BatchPolicy::disaggregated;
    fleet.replicas = 2;
    fleet.prefill_replicas = 1;
    fleet.transfer_s_per_token = 1e-3;
    const FleetRun r = serve({{0, 1000, 11}}, fleet, times);
    CHECK(r.served[0].first_token_s == doctest::Approx(0.005 + 0.02).scale(0));
    CHECK(r.served[0].finish_s == doctest::Approx(0.025 + 1.0 + 10 * 0.0051).scale(0));
    CHECK(r.sum.new_tokens == 11);
}

TEST_CASE("the knee: attained there, missed at a little more load") {
    Steady times;
    const Serving s = with_level(0.5, 0.05);
    Fleet fleet;
    fleet.engine.cache_tokens = 20000;
    const Knee k = find_knee(s, fleet, times);
    CHECK(k.report.attained >= 0.97);
    CHECK(k.report.excess <= 1);
    Serving more = s;
    for (Request& r : more.requests) r.arrival_s *= k.stretch / 1.05;
    const FleetRun run = serve(more.requests, fleet, times);
    CHECK(report(more, run.served, run.makespan_s).excess > 1);
    const Knee strict = find_knee(with_level(0.2, 0.05), fleet, times);
    CHECK(strict.rate_per_s <= k.rate_per_s * 1.01);
}

TEST_CASE("a service level that nothing can meet says by how much it is missed") {
    Steady times;
    const std::string why = message([&] { find_knee(with_level(0.5, 0.00255), {}, times); });
    CHECK(why.find("nothing attains the service level") != std::string::npos);
    CHECK(why.find("takes 2.") != std::string::npos);  // a step alone takes 5.1 ms, twice what is allowed
}

TEST_CASE("percentiles are values that occurred") {
    CHECK(percentile({3, 1, 2}, 0.5) == 2);
    CHECK(percentile({1, 2, 3, 4}, 0.99) == 4);
    CHECK(percentile({5}, 0.01) == 5);
}

TEST_CASE("a trace is read strictly: the line, the mistake, the reason") {
    CHECK(trace_message("time,input,output\n0,10,5\n0.5,20,1\n").empty());
    CHECK(trace_message("0,10,5\n-1,10,5\n").find(":2: a request at -1 s") != std::string::npos);
    CHECK(trace_message("3,10,5\n2,10,5\n").find("a request at 2 s follows one at 3 s") != std::string::npos);
    CHECK(trace_message("0,0,5\n").find("each must be at least 1") != std::string::npos);
    CHECK(trace_message("0;1;5\n").find("is no request") != std::string::npos);
    CHECK(trace_message("# nothing\n").find("holds no request") != std::string::npos);
}

TEST_CASE("arrivals: rates, means and mistakes") {
    const auto mean_gap = [](const std::string& arrival) {
        const auto r = requests_of({arrival, "fixed", 40000, 1, 1, 9});
        return r.back().arrival_s / 40000;
    };
    CHECK(mean_gap("constant:4/s") == doctest::Approx(0.25));
    CHECK(mean_gap("poisson:4/s") == doctest::Approx(0.25).epsilon(0.02).scale(0));
    CHECK(mean_gap("gamma:4/s:0.5") == doctest::Approx(0.25).epsilon(0.03).scale(0));
    CHECK(mean_gap("offline") == 0);
    for (const char* lengths : {"fixed", "uniform", "lognormal:0.8"}) {
        double sum = 0;
        for (const Request& r : requests_of({"offline", lengths, 40000, 155, 294.45, 9}))
            sum += static_cast<double>(r.output);
        CHECK(sum / 40000 == doctest::Approx(294.45).epsilon(0.02).scale(0));
    }
    CHECK(message([] { requests_of({"poison:2/s", "fixed", 1, 1, 1, 1}); }).find("poisson") != std::string::npos);
    CHECK(message([] { requests_of({"poisson:2", "fixed", 1, 1, 1, 1}); }).find("no rate") != std::string::npos);
    CHECK(message([] { requests_of({"poisson:-2/s", "fixed", 1, 1, 1, 1}); }).find("above 0") != std::string::npos);
    CHECK(message([] { requests_of({"offline", "gauss", 1, 1, 1, 1}); }).find("distribution") != std::string::npos);
}
