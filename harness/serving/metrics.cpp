#include "harness/serving/metrics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/units.hpp"

namespace wb::serving {
namespace {

constexpr double shown[] = {0.5, 0.9, 0.99};

Series percentiles(const char* name, const char* about, const std::vector<double>& values) {
    Series s{name, "s", about, "1", {}, {}};
    for (double p : shown) {
        s.at.push_back(p);
        s.values.push_back(percentile(values, p));
    }
    return s;
}

Series single(const char* name, const char* unit, const char* about, double value) {
    return {name, unit, about, "1", {0}, {value}};
}

const Series* find(const std::vector<Series>& series, const char* name) {
    for (const Series& s : series)
        if (s.name == name && !s.values.empty()) return &s;
    return nullptr;
}

}  // namespace

double percentile(std::vector<double> values, double p) {
    if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
    const double rank = std::ceil(p * static_cast<double>(values.size()) - 1e-9);
    const auto at = values.begin() + std::max<std::ptrdiff_t>(0, static_cast<std::ptrdiff_t>(rank) - 1);
    std::nth_element(values.begin(), at, values.end());
    return *at;
}

Latencies latencies(std::span<const Request> requests, std::span<const Served> served) {
    Latencies out;
    for (std::size_t i = 0; i < requests.size(); ++i) {
        const Request& r = requests[i];
        out.ttft_s.push_back(served[i].first_token_s - r.arrival_s);
        out.total_s.push_back(served[i].finish_s - r.arrival_s);
        if (r.output > 1)
            out.tpot_s.push_back((served[i].finish_s - served[i].first_token_s) / static_cast<double>(r.output - 1));
    }
    return out;
}

Report report(const Serving& serving, std::span<const Served> served, double makespan_s) {
    Report out;
    out.latency = latencies(serving.requests, served);
    double tokens = 0;
    std::int64_t good = 0;
    std::size_t tpot = 0;
    for (std::size_t i = 0; i < serving.requests.size(); ++i) {
        const bool longer = serving.requests[i].output > 1;
        const bool first = serving.ttft_s == 0 || out.latency.ttft_s[i] <= serving.ttft_s;
        const bool rest = serving.tpot_s == 0 || !longer || out.latency.tpot_s[tpot] <= serving.tpot_s;
        if (longer) ++tpot;
        good += first && rest ? 1 : 0;
        tokens += static_cast<double>(serving.requests[i].output);
    }
    const auto n = static_cast<double>(serving.requests.size());
    out.requests_per_s = n / makespan_s;
    out.tokens_per_s = tokens / makespan_s;
    out.attained = static_cast<double>(good) / n;
    out.goodput_per_s = static_cast<double>(good) / makespan_s;
    if (serving.ttft_s > 0) out.excess = percentile(out.latency.ttft_s, serving.attained) / serving.ttft_s;
    if (serving.tpot_s > 0 && !out.latency.tpot_s.empty())
        out.excess = std::max(out.excess, percentile(out.latency.tpot_s, serving.attained) / serving.tpot_s);
    return out;
}

std::vector<Series> series_of(const Report& r, const std::vector<Moment>& moments) {
    std::vector<Series> out{
        percentiles("ttft", "time to the first token, not exceeded by that part of the requests", r.latency.ttft_s),
        percentiles("end_to_end", "time to the last token", r.latency.total_s)};
    if (!r.latency.tpot_s.empty())
        out.push_back(percentiles("tpot", "time per token after the first", r.latency.tpot_s));
    out.push_back(single("throughput", "1/s", "new tokens per second", r.tokens_per_s));
    out.push_back(single("request_rate", "1/s", "requests per second", r.requests_per_s));
    out.push_back(single("goodput", "1/s", "requests per second within the service level", r.goodput_per_s));
    out.push_back(single("attained", "1", "part of the requests within the service level", r.attained));
    Series queue{"queue", "1", "requests that wait, first replica", "s", {}, {}},
        batch{"batch", "1", "sequences that decode, first replica", "s", {}, {}},
        cache{"cache", "1", "tokens in the cache, first replica", "s", {}, {}};
    for (const Moment& m : moments) {
        for (Series* s : {&queue, &batch, &cache}) s->at.push_back(m.at_s);
        queue.values.push_back(static_cast<double>(m.queued));
        batch.values.push_back(static_cast<double>(m.running));
        cache.values.push_back(m.cached_tokens);
    }
    for (Series* s : {&queue, &batch, &cache}) out.push_back(std::move(*s));
    return out;
}

std::string serving_line(const std::vector<Series>& series) {
    const Series *ttft = find(series, "ttft"), *tpot = find(series, "tpot"), *rate = find(series, "throughput"),
                 *good = find(series, "goodput"), *part = find(series, "attained");
    if (!ttft || !rate || !good || !part) return "";
    const auto span = [](const Series& s) {
        return fmt::format("p50 {} .. p99 {}", format(Seconds(s.values.front())), format(Seconds(s.values.back())));
    };
    std::string out = "TTFT " + span(*ttft);
    if (tpot) out += ", TPOT " + span(*tpot);
    return out + fmt::format(", {:.4g} tokens/s, goodput {:.3g}/s ({:.1f} %)", rate->values[0], good->values[0],
                             100 * part->values[0]);
}

}  // namespace wb::serving
