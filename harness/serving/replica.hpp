#pragma once

#include <memory>
#include <optional>
#include <string>

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
    double cache_tokens = 0;  ///< of one replica; 0: unlimited
    std::string limit;        ///< what bounds the cache
};

/// Those that the mapping of the case allows and the backend supports, or the reason why there are none.
struct Divisions {
    std::vector<Division> all;
    std::string refusal;
};
Divisions divisions(const Backend& backend, const Case& c, const Serving& serving, int ranks);

/// Requests per second of all replicas if there are always enough: the largest batch that the cache, the limit and the
/// number of requests allow, each with a prompt and an answer of mean length.
double full_load_rate(const Division& division, const Serving& serving, StepTimes& times);

/// What the engine adds on the host, where the system file has it: modelled and simulated kernels alone leave it out.
EngineTime engine_time(const Backend& backend, const System& system);

/// Seconds to hand the cache of one token to another replica, over the innermost fabric that joins all units.
double transfer_s_per_token(const Case& whole, const Division& division);

}  // namespace wb::serving
