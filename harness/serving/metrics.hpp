#pragma once

#include <span>
#include <vector>

#include "core/measurement.hpp"
#include "core/serving.hpp"
#include "harness/serving/engine.hpp"

namespace wb::serving {

/// The value that a part `p` of the values do not exceed: the ceil(p n)-th smallest. NaN of none.
double percentile(std::vector<double> values, double p);

/// What users of the server saw. A request of one token has no time per token.
struct Latencies {
    std::vector<double> ttft_s, tpot_s, total_s;  ///< by request; tpot_s of those with two tokens or more
};
Latencies latencies(std::span<const Request> requests, std::span<const Served> served);

struct Report {
    double requests_per_s = 0, tokens_per_s = 0;  ///< new tokens over the makespan
    double attained = 1;  ///< part of the requests within the service level
    double goodput_per_s = 0;  ///< those, per second (DistServe, OSDI 2024)
    /// How much longer than allowed the request at the wanted part takes: above 1 misses. Of both times the worse.
    double excess = 0;
    Latencies latency;
};
/// `makespan_s` is of all replicas.
Report report(const Serving& serving, std::span<const Served> served, double makespan_s);

/// As stored with the case: latencies at 50, 90 and 99 %, rates, and what changed in the course of the run.
std::vector<Series> series_of(const Report& report, const std::vector<Moment>& moments);

/// One line of what series_of() stored: "TTFT p50 120 ms .. p99 1.90 s, TPOT ..., 812 tokens/s, goodput 2.7/s (99.1 %)".
/// Empty for a case that served nothing.
std::string serving_line(const std::vector<Series>& series);

}  // namespace wb::serving
