#include "harness/serving/replica.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/partition.hpp"
#include "core/resize.hpp"
#include "core/units.hpp"

namespace wb::serving {
namespace {

constexpr std::int64_t usual_batch = 256;  // whose activations lie beside the cache

std::shared_ptr<const Graph> phase_named(const Graph& g, const char* name) {
    for (const Phase& p : g.phases())
        if (p.name == name) return p.graph;
    return nullptr;
}

/// Tokens that fit by the numbers of the system file alone.
std::optional<double> room_for_cache(const Case& c) {
    constexpr double smallest_main = 4e9;
    const Memory* main = nullptr;
    for (const Memory& m : c.system->memories)
        if (m.capacity && (!main || (main->capacity->value < smallest_main))) main = &m;
    if (!main) return std::nullopt;
    const double left = main->capacity->value * c.units - weight_bytes(*c.graph).si();
    return left / cache_bytes_per_token(*c.graph);
}

Case with_graph(const Case& c, std::shared_ptr<const Graph> graph) {
    Case out = c;
    out.graph = out.small = std::move(graph);
    out.small_text.clear();
    return out;
}

/// Can operators be shared by so many ranks at all?
bool lawful(const Division& d) {
    Mapping stage = d.replica.mapping;
    stage.pipeline = 1;
    try {
        partition(*d.replica.graph, stage, 0);
        return true;
    } catch (const Error&) {
        return false;
    }
}

/// The ways to make a pipeline of `per` units: the fewest stages first, each of as many tensor ranks as are left.
std::vector<Mapping> pipelines(const Mapping& base, int per) {
    std::vector<Mapping> out;
    for (int stages = 2; stages <= per; ++stages)
        if (per % stages == 0) {
            out.push_back(base);
            out.back().data = 1;
            out.back().pipeline = stages;
            out.back().tensor = per / stages;
        }
    return out;
}

/// The ways to cut the units into equal replicas, the smallest first.
std::vector<Division> candidates(const Case& c, const StepGraphs& graphs) {
    const auto& graph = graphs.decode ? graphs.decode : graphs.prefill;
    StepShape one = step_shape(*graph);
    one.batch = one.step = 1;  // the least there is: what is too long for the cache is told as such
    one.cached = std::min<std::int64_t>(one.cached, 1);
    const Case base = with_graph(c, std::make_shared<const Graph>(resized(*graph, one)));
    const auto divided = [&](int replicas, int tensor) {
        Division d{base, replicas, 1, 0, ""};
        d.replica.units = c.units / replicas;
        d.replica.mapping.data = 1;
        if (tensor > 0) d.replica.mapping.tensor = tensor;
        return d;
    };
    const SystemKind kind = c.system->kind;
    if (c.mapping.units() > 1 || (kind != SystemKind::cluster && kind != SystemKind::wafer))
        return {divided(std::max(1, c.mapping.data), 0)};
    std::vector<Division> out;
    for (int share = 1; share <= c.units; ++share)
        if (c.units % share == 0) out.push_back(divided(c.units / share, kind == SystemKind::cluster ? share : 0));
    return out;
}

/// Tokens of the mean prompt and the mean answer.
std::pair<double, double> mean_lengths(const Serving& serving) {
    double input = 0, output = 0;
    for (const Request& r : serving.requests)
        input += static_cast<double>(r.input), output += static_cast<double>(r.output);
    const auto n = static_cast<double>(serving.requests.size());
    return {input / n, output / n};
}

}  // namespace

StepGraphs step_graphs(const Graph& composition) {
    return {phase_named(composition, "prefill"), phase_named(composition, "decode")};
}

Divisions divisions(const Backend& backend, const Case& c, const Serving& serving, int ranks) {
    Divisions out;
    double longest = 0;
    for (const Request& r : serving.requests) longest = std::max(longest, static_cast<double>(r.input + r.output));
    const auto refuse = [&](const Division& d, std::string why) {  // the largest replica is what comes nearest
        if (out.refusal.empty() || lawful(d)) out.refusal = std::move(why);
    };
    const auto enter = [&](Division d) {
        if (serving.policy == BatchPolicy::disaggregated && d.replicas < 2) {
            refuse(d, "prompts and answers on machines of their own need two replicas at least");
            return false;
        }
        if (const Support s = backend.supports(d.replica, ranks); !s.yes) {
            refuse(d, s.reason);
            return false;
        }
        StepShape shape = step_shape(*d.replica.graph);
        shape.batch = usual_batch;
        const Case usual = with_graph(d.replica, std::make_shared<const Graph>(resized(*d.replica.graph, shape)));
        std::optional<double> tokens = backend.cache_tokens(usual);
        d.limit = tokens ? "cache as the model places it" : "cache by the capacity of the memory";
        if (!tokens) tokens = room_for_cache(usual);
        d.cache_tokens = tokens ? std::floor(*tokens * serving.cache_fraction / d.in_flight) : 0;
        if (tokens && d.cache_tokens < longest) {
            refuse(d, fmt::format(
                          "a request of {:.0f} tokens is more than the {:.0f} that fit beside the weights on {} units",
                          longest, std::max(0.0, d.cache_tokens), d.replica.units));
            return false;
        }
        out.all.push_back(std::move(d));
        return true;
    };
    const std::vector<Division> whole = candidates(c, step_graphs(*c.graph));
    for (const Division& d : whole) enter(d);
    // Where no tensor ranks hold the model together, stages may.
    const std::string alone = out.refusal;
    if (out.all.empty() && c.system->kind == SystemKind::cluster && c.mapping.units() == 1)
        for (Division d : whole)
            for (const Mapping& m : pipelines(d.replica.mapping, d.replica.units)) {
                d.replica.mapping = m;
                d.in_flight = m.pipeline;
                if (enter(d)) break;
            }
    out.refusal = out.all.empty() ? alone : "";
    return out;
}

std::vector<std::int64_t> prompts_together(const Serving& serving, StepTimes& times) {
    std::vector<std::int64_t> out{1};
    if (serving.policy == BatchPolicy::chunked || serving.policy == BatchPolicy::disaggregated) return out;
    const double input = mean_lengths(serving).first;
    const auto reading = [&](std::int64_t prompts) {
        Step step;
        step.prompts = prompts;
        step.prompt_tokens = static_cast<std::int64_t>(static_cast<double>(prompts) * input);
        return times.seconds(step);
    };
    if (reading(8) > 0.5 * 8 * reading(1)) return out;
    while (static_cast<double>(2 * out.back()) * input <= static_cast<double>(serving.token_budget))
        out.push_back(2 * out.back());
    return out;
}

std::int64_t best_batch(const Division& d, const Serving& serving, StepTimes& times) {
    const auto [input, output] = mean_lengths(serving);
    double most = std::floor(static_cast<double>(serving.requests.size()) / d.engines());
    if (d.cache_tokens > 0) most = std::min(most, std::floor(d.cache_tokens / (input + output)));
    if (serving.max_batch > 0) most = std::min(most, static_cast<double>(serving.max_batch));
    if (output <= 1 || most <= 1) return serving.max_batch;
    const auto per_sequence = [&](double n) {
        Step step;
        step.decodes = static_cast<std::int64_t>(n);
        step.cached_tokens = n * (input + output / 2);
        return times.seconds(step) / n;
    };
    double best = most, least = per_sequence(most);
    for (double n = 1; n < most; n *= 2)
        for (const double x : {n, 1.5 * n})
            if (const double t = per_sequence(std::floor(x)); x < most && t < least) best = std::floor(x), least = t;
    return best < most ? static_cast<std::int64_t>(best) : serving.max_batch;
}

EngineTime engine_time(const Backend& backend, const System& system) {
    if (backend.kind() == Kind::measured || backend.kind() == Kind::bound) return {};
    const auto constant = [&](const char* key) {
        const auto at = system.fitted.find(key);
        return at == system.fitted.end() ? 0.0 : at->second.value;
    };
    return {constant("engine_step_time"), constant("engine_sequence_time")};
}

double transfer_s_per_token(const Case& whole, const Division& d) {
    for (const Fabric& f : whole.system->fabrics)
        if (f.bandwidth && f.bandwidth->value > 0 && (!f.units || f.units->value >= whole.units))
            return cache_bytes_per_token(*d.replica.graph) / (f.bandwidth->value * d.replica.units);
    return 0;
}

}  // namespace wb::serving
