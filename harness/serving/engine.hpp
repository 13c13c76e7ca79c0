#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/serving.hpp"

namespace wb::serving {

/// What one step of an engine works on: prompts, or pieces of them, beside sequences that each get one token more.
struct Step {
    std::int64_t prompts = 0, prompt_tokens = 0;
    double context_pairs = 0;  ///< of pieces that are not the first: tokens x tokens of the prompt already read
    std::int64_t decodes = 0;
    double cached_tokens = 0;  ///< of the sequences that decode, all together
    bool operator==(const Step&) const = default;
};

/// How long a step takes.
class StepTimes {
public:
    virtual ~StepTimes() = default;
    virtual double seconds(const Step& step) = 0;
};

/// One replica of the model, and how it fills its steps.
struct Engine {
    BatchPolicy policy = BatchPolicy::mixed;
    std::int64_t max_batch = 0;        ///< 0: no limit but the cache
    std::int64_t token_budget = 8192;  ///< of one step
    double cache_tokens = 0;           ///< what the cache holds; 0: no limit
    std::int64_t together = 1;         ///< whole prompts wait until so many enter one step, or nothing decodes
    bool prefilled = false;            ///< prompts are in the cache already: they come from another engine
};

/// What became of a request.
struct Served {
    double first_token_s = 0, finish_s = 0;
};

struct Moment {
    double at_s = 0;
    std::int64_t queued = 0, running = 0;
    double cached_tokens = 0;
};

struct Trace {
    std::vector<Served> served;                 ///< by request
    std::vector<Moment> moments;                ///< after steps, a few hundred at most
    double makespan_s = 0;                      ///< from time 0 to the last token
    double busy_s = 0, prefill_s = 0;           ///< in steps; in those, or parts of those, that read prompts
    std::int64_t steps = 0, request_steps = 0;  ///< request_steps: sequences and prompts summed over steps
    std::int64_t prompt_tokens = 0, new_tokens = 0;
    double peak_cache_tokens = 0, mean_batch = 0;  ///< mean over steps that decode
};

/// Event by event: a step is filled, takes its time, and only then are requests that came meanwhile looked at. A
/// request is admitted, first come first served, when the cache has room for its prompt and its whole answer: none is
/// ever thrown out again. Throws Error for a request that no empty cache could hold.
Trace simulate(std::span<const Request> requests, const Engine& engine, StepTimes& times);

}  // namespace wb::serving
