#include <fmt/format.h>

#include <algorithm>

#include "core/arrivals.hpp"
#include "core/dtype_param.hpp"
#include "core/error.hpp"
#include "core/units.hpp"
#include "kernels/workloads/model/model_params.hpp"
#include "kernels/workloads/model/phases.hpp"

namespace wb::workloads {
namespace {

/// 4 bits are a type of products alone: with a cache of 8 bits, as engines have it.
constexpr const char* four_bits = "fp4";
constexpr std::size_t groups = 8;  // of requests of about the same length, for the count of useful work

BatchPolicy policy_of(const std::string& word) {
    if (word == "prefill-first") return BatchPolicy::prefill_first;
    if (word == "chunked") return BatchPolicy::chunked;
    return word == "disaggregated" ? BatchPolicy::disaggregated : BatchPolicy::mixed;
}

double seconds_of(const Params& p, const char* name) {
    if (p.word(name).empty()) return 0;
    try {
        const double s = parse<Seconds>(p.word(name)).si();
        if (s > 0) return s;
    } catch (const UnitProblem& e) {
        throw e.at(name);
    }
    throw Error({name, "is no time anything can meet", "", "Leave it out where any will do."});
}

double part_of(const Params& p, const char* name) {
    const double v = p.number(name);
    if (!(v > 0) || v > 1) throw Error({name, fmt::format("is {}", v), "it is a part: above 0, at most 1", ""});
    return v;
}

std::vector<Request> requests_of(const Params& p, const Files& files) {
    const std::string& arrival = p.word("arrival");
    if (arrival.starts_with("trace:")) {
        const std::string name = arrival.substr(6), near = files.locate(name), found = files.find(name);
        return read_trace(!near.empty() ? near : found.empty() ? name : found);
    }
    return wb::requests_of({arrival, p.word("lengths"), p.positive("requests"), p.number("input"), p.number("output"),
                            static_cast<std::uint64_t>(p.integer("seed"))});
}

Serving serving_of(const Params& p, const Files& files) {
    Serving s;
    s.requests = requests_of(p, files);
    s.policy = policy_of(p.word("policy"));
    s.max_batch = p.integer("max_batch");
    if (s.max_batch < 0) throw Error({"max_batch", fmt::format("is {}", s.max_batch), "0 means no limit", ""});
    s.token_budget = p.positive("token_budget");
    s.cache_fraction = part_of(p, "cache_fraction");
    s.prefill_share = part_of(p, "prefill_share");
    s.ttft_s = seconds_of(p, "slo_ttft");
    s.tpot_s = seconds_of(p, "slo_tpot");
    s.attained = part_of(p, "attained");
    s.knee = p.word("find") == "knee";
    if (s.knee && s.ttft_s == 0 && s.tpot_s == 0)
        throw Error({"find", "\"knee\" without a service level", "any load would do", "Give slo_ttft or slo_tpot."});
    if (s.knee && s.requests.back().arrival_s == 0)
        throw Error({"find", "\"knee\" of requests that all come at once", "their load cannot be changed",
                     "Use arrival = \"poisson:1/s\"; the rate itself does not matter."});
    return s;
}

Sequence types_of(const Params& p) {
    Sequence s{1, 1, p.word("dtype") == four_bits ? DType::fp4 : dtype_of(p), {}};
    if (const std::string& cache = p.word("cache_dtype"); !cache.empty()) {
        s.cache = dtype_from_name(cache);
        if (!s.cache) throw Error({"cache_dtype", fmt::format("\"{}\" is no type", cache), "", "Write \"8-bit\"."});
    } else if (s.dtype == DType::fp4) {
        s.cache = DType::any8;
    }
    return s;
}

/// The useful work of requests of about one length: their prefills, then their decoding token by token.
void then_group(Graph& g, const ModelConfig& model, Sequence prompt, std::span<const Request> requests,
                std::int64_t runs) {
    const auto n = static_cast<std::int64_t>(requests.size());
    std::int64_t input = 0, output = 0;
    for (const Request& r : requests) input += r.input, output += r.output;
    prompt.seq = std::max<std::int64_t>(1, (input + n / 2) / n);
    g.then("prefill", n, prefill_of(model, prompt));
    if (const std::int64_t tokens = (output + n / 2) / n - 1; tokens > 0)
        then_decode(g, model, prompt, tokens, n, runs);
}

Graph build(const Params& p, const Files& files) {
    const ModelConfig model = model_of(p, files);
    const Sequence types = types_of(p);
    Graph g("serve");
    if (p.flag("shrunk")) {  // what verification judges: the two sorts of steps
        then_group(g, model, types, std::vector<Request>{{0, 11, 4}}, 2);
        return g;
    }
    const Serving serving = serving_of(p, files);
    then_requests(g, serving);
    std::vector<Request> sorted = serving.requests;
    std::stable_sort(sorted.begin(), sorted.end(), [](const Request& a, const Request& b) {
        return std::pair(a.input, a.output) < std::pair(b.input, b.output);
    });
    const bool alike =
        sorted.back().input - sorted.front().input <= 1 && sorted.back().output <= sorted.front().output + 1;
    const std::size_t count = alike ? 1 : std::min(groups, sorted.size());
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t first = sorted.size() * i / count, last = sorted.size() * (i + 1) / count;
        then_group(g, model, types, std::span(sorted).subspan(first, last - first), alike ? 8 : 2);
    }
    return g;
}

ParamSpec with_four_bits(ParamSpec dtype) {
    dtype.choices.emplace_back(four_bits);
    return dtype;
}

}  // namespace

Workload serve() {
    return {
        "serve",
        "a transformer serves requests as they come: batching in flight, latencies, goodput",
        {{"model", "a folder of configs/models, or a shape, see prefill", {}},
         {"arrival", "offline, poisson:2/s, constant:2/s, gamma:2/s:0.5 (bursts), trace:FILE", std::string("offline")},
         {"requests", "how many; a trace brings its own", {}},
         {"input", "mean tokens of a prompt", {}},
         {"output", "mean tokens of an answer", {}},
         {"lengths", "fixed, uniform, lognormal:0.8 (standard deviation over mean)", std::string("fixed")},
         {"policy", "what shares a step", std::string("mixed"), {"mixed", "chunked", "prefill-first", "disaggregated"}},
         {"max_batch", "sequences at once on a replica (0 = as many as the cache holds)", std::int64_t{0}},
         {"token_budget", "tokens of one step", std::int64_t{8192}},
         {"cache_fraction", "of the memory left by weights and work, for the cache", 0.9},
         {"prefill_share", "disaggregated: part of the replicas that only read prompts", 0.5},
         {"slo_ttft", "service level: time to the first token", std::string("")},
         {"slo_tpot", "service level: time per token after the first", std::string("")},
         {"attained", "part of the requests that must meet the service level", 0.99},
         {"find",
          "run: as the requests come; knee: the highest load that attains the service level",
          std::string("run"),
          {"run", "knee"}},
         {"seed", "of arrivals and lengths", std::int64_t{1}},
         {"layers", "build only that many layers (0 = all)", std::int64_t{0}},
         {"shrunk", "a few features wide: what verification uses", false},
         with_four_bits(dtype_param()),
         {"cache_dtype", "of keys and values (empty = dtype; 8-bit with fp4)", std::string("")}},
        build,
        [](const Params& p) {
            Params small = p;
            small.set("shrunk", true);
            return small;
        }};
}

}  // namespace wb::workloads
