#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph.hpp"

namespace wb {

/// One request to a server: the first token of the answer comes out of the prefill.
struct Request {
    double arrival_s = 0;
    std::int64_t input = 1, output = 1;  ///< tokens of the prompt and of the answer
    bool operator==(const Request&) const = default;
};

/// What shares a step.
enum class BatchPolicy : std::uint8_t {
    prefill_first,  ///< whole prompts alone, before any decoding (vLLM, SOSP 2023)
    mixed,          ///< whole prompts beside the sequences that decode (Orca, OSDI 2022)
    chunked,        ///< pieces of prompts beside them (Sarathi-Serve, OSDI 2024)
    disaggregated   ///< prompts on machines of their own, which hand over the cache (DistServe, OSDI 2024)
};

/// What a serving workload asks: requests, and how they may be batched and judged.
struct Serving {
    std::vector<Request> requests;  ///< by arrival
    BatchPolicy policy = BatchPolicy::mixed;
    std::int64_t max_batch = 0;        ///< sequences at once on one replica; 0: as many as the cache holds
    std::int64_t token_budget = 8192;  ///< tokens of one step
    double cache_fraction = 0.9;       ///< of the memory that weights and work leave, for the cache
    double prefill_share = 0.5;        ///< disaggregated: part of the replicas that only read prompts
    double ttft_s = 0, tpot_s = 0;     ///< the service level: time to the first token, time per token after; 0: any
    double attained = 0.99;            ///< part of the requests that must meet it
    bool knee = false;  ///< stretch the arrivals until the service level is just attained: the highest load that is
    bool operator==(const Serving&) const = default;
};

/// All of it as text, exact, and back.
std::string text(const Serving& serving);
Serving serving_from(std::string_view text);

/// Puts the requests into a composition, so that they are part of its fingerprint: a first phase that does nothing,
/// with one input whose content is the text. Backends never see it.
void then_requests(Graph& composition, const Serving& serving);
/// The requests of a composition that has them.
std::optional<Serving> serving_of(const Graph& graph);

}  // namespace wb
