#include "harness/ceilings.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/serving.hpp"
#include "harness/composed_session.hpp"

namespace wb {
namespace {

/// A level and those outside it serve side by side in a bound, so that their rates add up; what was measured at a level
/// came through it, whatever lies outside.
void lone_levels(std::vector<Memory>& levels) {
    double outside = 0;
    for (auto m = levels.rbegin(); m != levels.rend(); ++m) {
        if (!m->bandwidth) continue;
        const double own = std::max(outside, m->bandwidth->value);
        m->bandwidth->value = own - outside;
        outside = own;
    }
}

void shared_by(System& s, int ranks) {
    for (auto& [type, peak] : s.peak) peak.value /= ranks;
    for (Memory& m : s.memories) {
        if (m.capacity) m.capacity->value /= ranks;
        if (m.bandwidth) m.bandwidth->value /= ranks;
    }
}

/// What a bound says of one graph on the machine at its ceilings.
struct Answer {
    Ceiling ceiling;
    std::vector<MemoryUse> levels;
};

/// "DRAM" rather than "memory": the level whose traffic takes longest.
std::string slowest_level(const System& s, const std::vector<MemoryUse>& use) {
    std::string found = "memory";
    double longest = 0, rate = 0;
    for (std::size_t i = s.memories.size(); i-- > 0;) {
        if (s.memories[i].bandwidth) rate += s.memories[i].bandwidth->value;
        for (const MemoryUse& u : use)
            if (u.level == s.memories[i].name && rate > 0 && u.traffic.si() / rate > longest)
                longest = u.traffic.si() / rate, found = u.level;
    }
    return found;
}

std::optional<Answer> answer(const Case& c, const Backend& bound) {
    const auto alone = single_process();
    if (!bound.supports(c, 1).yes) return {};
    const std::unique_ptr<Session> session = bound.prepare(c, *alone);
    const Sample run = session->run();
    Answer out;
    out.ceiling.time = run.elapsed;
    const Span* most = nullptr;
    for (const Span& s : run.spans) {
        if (s.resource == "compute") out.ceiling.compute += s.duration;
        if (!most || s.duration > most->duration) most = &s;
    }
    out.levels = session->usage().memory;
    if (most && most->duration > Seconds(0))
        out.ceiling.limit = most->resource == "memory" ? slowest_level(*c.system, out.levels) : most->resource;
    for (MemoryUse& u : out.levels) {
        u.traffic = u.traffic * c.units;
        u.capacity = u.capacity * c.units;
        u.peak = Bytes(0);
    }
    std::erase_if(out.levels, [](const MemoryUse& u) { return !(u.traffic > Bytes(0)); });
    return out;
}

void add_levels(std::vector<MemoryUse>& to, const std::vector<MemoryUse>& more, double times) {
    for (const MemoryUse& u : more) {
        auto at = std::find_if(to.begin(), to.end(), [&](const MemoryUse& x) { return x.level == u.level; });
        if (at == to.end()) at = to.insert(to.end(), {u.level, u.capacity, Bytes(0), Bytes(0)});
        at->traffic += u.traffic * times;
    }
}

/// `times` more runs of what was answered, into the ceiling of a phase or of the whole.
void add(Ceiling& to, Seconds& longest, const Ceiling& once, double times) {
    to.time += once.time * times;
    to.compute += once.compute * times;
    if (once.time * times <= longest) return;
    longest = once.time * times;
    to.limit = once.limit;
}

void add_phases(const Case& ideal, const Backend& bound, Measurement& m) {
    std::map<const Graph*, std::optional<Answer>> known;
    std::map<std::string, Seconds> longest;
    Seconds longest_of_all;
    for (const Phase& p : ideal.graph->phases()) {
        const auto [at, fresh] = known.try_emplace(p.graph.get());
        if (fresh) at->second = answer(case_of(ideal, p.graph), bound);
        const auto phase =
            std::find_if(m.phases.begin(), m.phases.end(), [&](const PhaseUse& x) { return x.name == p.name; });
        if (!at->second || phase == m.phases.end()) continue;
        const auto times = static_cast<double>(p.times);
        add(phase->ceiling, longest[p.name], at->second->ceiling, times);
        add(m.ceiling, longest_of_all, at->second->ceiling, times);
        add_levels(phase->levels, at->second->levels, times);
        add_levels(m.memory, at->second->levels, times);
        if (phase->limit.empty()) phase->limit = phase->ceiling.limit;
    }
}

}  // namespace

std::optional<System> at_its_ceilings(const System& host, int ranks) {
    System s = host;
    const auto seen = [&](const std::string& key) -> std::optional<Fact> {
        const auto at = host.measured.find(key);
        return at == host.measured.end() ? std::nullopt : std::optional(at->second);
    };
    s.peak.clear();
    for (const DType type : all_dtypes())
        if (const auto rate = seen(fmt::format("gemm_{}", name(type)))) s.peak[type] = *rate;
    if (s.peak.empty()) return {};
    lone_levels(s.memories);
    s.node.clear();
    s.node["units"].value = ranks;
    if (const auto rate = seen("storage_read_bandwidth")) s.node["storage"] = *rate;
    if (const auto rate = seen("storage_write_bandwidth")) s.node["storage_write"] = *rate;
    if (const auto rate = seen("DRAM_copy_bandwidth")) {
        s.node["host_link"] = *rate;
        s.node["host_link"].value /= ranks;
    }
    s.fabrics.clear();
    if (ranks > 1) s.fabrics.push_back({"messages", "full_mesh", {}, seen("mpi_bandwidth"), seen("mpi_latency")});
    shared_by(s, ranks);
    return s;
}

void add_ceilings(const Case& c, const Backend& bound, int ranks, Measurement& m) {
    if (c.system->kind != SystemKind::host || serving_of(*c.graph)) return;
    std::optional<System> best = at_its_ceilings(*c.system, ranks);
    if (!best) return;
    Case ideal = c;
    ideal.system = std::make_shared<const System>(std::move(*best));
    ideal.units = ranks;
    ideal.mapping = {};
    ideal.storage.reset();
    if (!c.graph->phases().empty()) return add_phases(ideal, bound, m);
    const std::optional<Answer> all = answer(ideal, bound);
    if (!all) return;
    m.ceiling = all->ceiling;
    add_levels(m.memory, all->levels, 1);
}

}  // namespace wb
