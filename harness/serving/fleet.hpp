#pragma once

#include <vector>

#include "core/serving.hpp"
#include "harness/serving/engine.hpp"
#include "harness/serving/metrics.hpp"

namespace wb::serving {

/// Replicas that serve together: requests go to them in turn. Disaggregated: `prefill_replicas` of them read prompts
/// and send each cache on, which takes `transfer_s_per_token` for every token of it.
struct Fleet {
    Engine engine;
    int replicas = 1, prefill_replicas = 0;
    double transfer_s_per_token = 0;
};

struct FleetRun {
    std::vector<Served> served;  ///< by request of the whole fleet
    double makespan_s = 0;
    Trace sum;  ///< makespan, steps and tokens over all replicas; moments and peak of the first that decodes
};
FleetRun serve(const std::vector<Request>& requests, const Fleet& fleet, StepTimes& times);

/// The highest load that attains the service level: arrival times are stretched by one factor, found by bisection.
struct Knee {
    double stretch = 1;  ///< of the arrival times; below 1 is more load
    double rate_per_s = 0;
    FleetRun run;
    Report report;
};
/// Throws Declined where even a request that is alone misses the service level, and says by how much.
Knee find_knee(const Serving& serving, const Fleet& fleet, StepTimes& times);

}  // namespace wb::serving
