#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/backend.hpp"
#include "core/serving.hpp"
#include "harness/serving/backend_steps.hpp"

namespace wb::serving {

/// The two graphs whose sizes change from step to step.
struct StepGraphs {
    std::shared_ptr<const Graph> prefill, decode;  ///< decode is null where all answers have one token
};
StepGraphs step_graphs(const Graph& composition);

/// One way to divide the units of a case.
struct Division {
    Case replica;  ///< of one of them: its units and mapping; the graph is a decode, or prefill, of one sequence
    int replicas = 1;
    int in_flight = 1;        ///< batches of a replica, one behind the other in the stages of its pipeline
    double cache_tokens = 0;  ///< of one of those batches; 0: unlimited
    std::string limit;        ///< what bounds the cache

    int engines() const { return replicas * in_flight; }
};

/// Those that the mapping of the case allows and the backend supports, or the reason why there are none.
struct Divisions {
    std::vector<Division> all;
    std::string refusal;
};
Divisions divisions(const Backend& backend, const Case& c, const Serving& serving, int ranks);

/// How many prompts may be made to wait for each other: 1, 2, 4, ... up to the budget of a step where reading eight
/// together takes less than half of eight times one alone, as on a pipeline that a prompt alone leaves idle; else 1.
std::vector<std::int64_t> prompts_together(const Serving& serving, StepTimes& times);

/// The limit on sequences at once, 0 for none but the cache: that of the workload, or fewer where a decode step of as
/// many as the cache holds takes longer for each of them than one of fewer, as on a wafer filled to the brim.
std::int64_t best_batch(const Division& division, const Serving& serving, StepTimes& times);

/// What the engine adds on the host, where the system file has it: modelled and simulated kernels alone leave it out.
EngineTime engine_time(const Backend& backend, const System& system);

/// Seconds to hand the cache of one token to another replica, over the innermost fabric that joins all units.
double transfer_s_per_token(const Case& whole, const Division& division);

}  // namespace wb::serving
