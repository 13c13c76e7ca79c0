#include "core/generation.hpp"

#include <algorithm>
#include <cmath>

namespace wb {
namespace {

bool writes_cache(const Graph& g) {
    return std::any_of(g.ops().begin(), g.ops().end(), [](const Op& op) { return op.kind == OpKind::cache_write; });
}

}  // namespace

Graph Generation::step(std::int64_t number) const {
    return resized(*decode, {prompt.batch, 1, prompt.step + number - 1});
}

std::optional<Generation> generation_of(const Graph& composition) {
    const std::span<const Phase> phases = composition.phases();
    if (phases.size() < 2 || phases[0].times != 1) return {};
    for (const Phase& p : phases)
        if (!writes_cache(*p.graph)) return {};
    Generation out{phases[0].graph, phases[1].graph, step_shape(*phases[0].graph), 1};
    if (out.prompt.cached != 0) return {};
    for (const Phase& p : phases.subspan(1)) {
        const StepShape s = step_shape(*p.graph);
        if (s.batch != out.prompt.batch || s.step != 1 || s.cached < out.prompt.step) return {};
        out.tokens += p.times;
    }
    return out;
}

std::uint64_t TokenChoice::key(std::int64_t token, std::int64_t sequence) const {
    return Digest().add(seed).add(token).add(sequence).low();
}

double TokenChoice::score(double logit, std::int64_t token, std::int64_t sequence, std::int64_t id) const {
    if (temperature == 0) return logit;
    return logit / temperature - std::log(-std::log(uniform(key(token, sequence), id)));
}

}  // namespace wb
