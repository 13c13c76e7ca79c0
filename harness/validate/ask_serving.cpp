#include <fmt/format.h>

#include <cmath>

#include "harness/validate/case_maker.hpp"

namespace wb {
namespace {

/// Prompts of a row that does not state them, such as those of a benchmark with a data set of its own.
constexpr double unstated_prompt = 155;
/// Lengths in a data set of real questions; a row that states both has requests that are all alike.
constexpr const char* unstated_lengths = "uniform";
/// MLPerf Inference v4.1, Llama 2 70B: runs last for long (min_duration 40 minutes in closed/NVIDIA/configs), so that
/// beginning and end are little matter; half of that here. And what the server scenario demands of 99 %.
constexpr std::int64_t requests_per_unit = 4096;
constexpr const char *mlperf_ttft = "2 s", *mlperf_tpot = "200 ms";

/// As many as are needed to see a steady state, fewer of the longer: the table of TensorRT-LLM's performance overview.
std::int64_t requests_of_length(std::int64_t tokens) {
    if (tokens <= 256) return 30000;
    if (tokens < 3000) return 3000;
    return tokens < 20000 ? 1500 : 1000;
}

/// The machine under a limit of power below its own: cores slow down, memory does not.
std::shared_ptr<const System> limited(const System& whole, double watts) {
    const auto power = whole.power.find("unit");
    const auto exponent = whole.fitted.find("power_exponent");
    if (power == whole.power.end() || exponent == whole.fitted.end() || !(watts > 0) || watts > power->second.value)
        throw Unanswerable("no model of a limit of power below the machine's own");
    System out = whole;
    const double slower = std::pow(watts / power->second.value, exponent->second.value);
    for (auto& [type, peak] : out.peak) peak.value *= slower;
    out.power["unit"].value = watts;
    out.chosen["power"] = fmt::format("{:.0f}W", watts);  // another machine, by another name
    return std::make_shared<const System>(std::move(out));
}

/// Products in 4 bits beside a cache of 8, as the engines of these rows have it.
bool four_bits(const Point& p) { return p.word_or("dtype", "") == "nvfp4" || p.word_or("dtype", "") == "fp4"; }

}  // namespace

Question ask_in_flight(const Point& p, CaseMaker& make) {
    Setting s = make.setting(p);
    if (p.has("power_limit_w")) s.system = limited(*s.system, p.number("power_limit_w"));
    if (!p.has("tp") && !p.has("pp") && !p.has("dp")) s.mapping = {};  // replicas by what serves most
    const bool poisson = p.word_or("load", "max") == "poisson", stated = p.has("input");
    const double input = stated ? p.number("input") : unstated_prompt, output = p.number("output");
    const std::int64_t requests =
        p.integer_or("requests", stated ? requests_of_length(static_cast<std::int64_t>(input + output))
                                        : requests_per_unit * s.units);
    ParamList given{{"model", make.model(p)},
                    {"requests", requests},
                    {"input", input},
                    {"output", output},
                    {"max_batch", p.integer_or("max_batch", 0)},
                    {"lengths", std::string(stated ? "fixed" : unstated_lengths)},
                    {"dtype", four_bits(p) ? std::string("fp4") : make.dtype(p)}};
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
    set_metric(q, p, {.tokens = static_cast<double>(requests) * output, .samples = static_cast<double>(requests)});
    return q;
}

}  // namespace wb
