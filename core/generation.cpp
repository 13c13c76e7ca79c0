#include "core/generation.hpp"

#include <algorithm>
#include <cmath>

#include "core/hash.hpp"

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

double TokenChoice::score(double logit, std::int64_t token, std::int64_t sequence, std::int64_t id) const {
    if (temperature == 0) return logit;
    const std::uint64_t h =
        mix64(Digest().add(seed).add(token).add(sequence).low() ^ mix64(static_cast<std::uint64_t>(id)));
    const double uniform = (static_cast<double>(h >> 11) + 0.5) * 0x1p-53;
    return logit / temperature - std::log(-std::log(uniform));
}

}  // namespace wb
