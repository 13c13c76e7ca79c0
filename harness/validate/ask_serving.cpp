#include <fmt/format.h>

#include "harness/validate/case_maker.hpp"

namespace wb {
namespace {

/// Prompts of a row that does not state them, such as those of a benchmark with a data set of its own.
constexpr double unstated_prompt = 155;
/// Standard deviation over mean of the lengths in a data set of real questions; a row that states both lengths has
/// requests that are all alike.
constexpr const char* unstated_lengths = "lognormal:0.8";
/// MLPerf Inference v4.1, Llama 2 70B: samples of the data set, and what the server scenario demands of 99 %.
constexpr std::int64_t mlperf_samples = 24576;
constexpr const char *mlperf_ttft = "2 s", *mlperf_tpot = "200 ms";

/// As many as are needed to see a steady state, fewer of the longer: the table of TensorRT-LLM's performance overview.
std::int64_t requests_of_length(std::int64_t tokens) {
    if (tokens <= 256) return 30000;
    if (tokens < 3000) return 3000;
    return tokens < 20000 ? 1500 : 1000;
}

}  // namespace

Question ask_in_flight(const Point& p, CaseMaker& make) {
    Setting s = make.setting(p);
    if (p.has("power_limit_w")) throw Unanswerable("no model of a limit of power below the machine's own");
    if (!p.has("tp") && !p.has("pp") && !p.has("dp")) s.mapping = {};  // replicas by what serves most
    const bool poisson = p.word_or("load", "max") == "poisson", stated = p.has("input");
    const double input = stated ? p.number("input") : unstated_prompt, output = p.number("output");
    const std::int64_t requests =
        p.integer_or("requests", stated ? requests_of_length(static_cast<std::int64_t>(input + output)) : mlperf_samples);
    ParamList given{{"model", make.model(p)},
                    {"requests", requests},
                    {"input", input},
                    {"output", output},
                    {"max_batch", p.integer_or("max_batch", 0)},
                    {"lengths", std::string(stated ? "fixed" : unstated_lengths)},
                    {"dtype", make.dtype(p)}};
    Question q;
    if (!stated) q.note = fmt::format("prompts not stated: {:.0f} tokens on average assumed", unstated_prompt);
    if (poisson) {
        given.insert(given.end(), {{"arrival", std::string("poisson:1/s")},
                                   {"find", std::string("knee")},
                                   {"slo_ttft", std::string(mlperf_ttft)},
                                   {"slo_tpot", std::string(mlperf_tpot)}});
        q.note += fmt::format("{}rate not stated: the highest with TTFT {} and TPOT {} for 99 %",
                              q.note.empty() ? "" : "; ", mlperf_ttft, mlperf_tpot);
    }
    q.search_units = !s.units_known;
    q.terms.push_back({make.make("serve", given, s), 1});
    set_metric(q, p,
               {.tokens = static_cast<double>(requests) * output, .samples = static_cast<double>(requests)});
    return q;
}

}  // namespace wb
