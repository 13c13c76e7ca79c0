#include "core/measurement.hpp"

#include <algorithm>
#include <array>

namespace wb {
namespace {

template <class E, std::size_t N>
std::optional<E> from_name(const std::array<std::string_view, N>& names, std::string_view text) {
    for (std::size_t i = 0; i < N; ++i)
        if (names[i] == text) return static_cast<E>(i);
    return std::nullopt;
}

constexpr std::array<std::string_view, 5> kinds{"measured", "emulated", "simulated", "modelled", "bound"};
constexpr std::array<std::string_view, 5> statuses{"ok", "failed", "timeout", "skipped", "invalid"};

}  // namespace

std::string_view name(Kind kind) { return kinds[static_cast<std::size_t>(kind)]; }
std::optional<Kind> kind_from_name(std::string_view text) { return from_name<Kind>(kinds, text); }
std::string_view name(Status status) { return statuses[static_cast<std::size_t>(status)]; }
std::optional<Status> status_from_name(std::string_view text) { return from_name<Status>(statuses, text); }

void add_calls(std::vector<CommUse>& to, const std::vector<CommUse>& run, std::int64_t times) {
    for (const CommUse& c : run) {
        auto same = std::find_if(to.begin(), to.end(),
                                 [&](const CommUse& x) { return x.fabric == c.fabric && x.operation == c.operation; });
        if (same == to.end()) same = to.insert(to.end(), {c.fabric, c.operation, 0, {}, {}, {}});
        const double n = static_cast<double>(times);
        same->calls += c.calls * times;
        same->bytes += c.bytes * n;
        same->time += c.time * n;
        same->exposed += c.exposed * n;
    }
}

PhaseUse& add_phase(std::vector<PhaseUse>& phases, const std::string& name, std::int64_t times,
                    const std::vector<CommUse>& calls) {
    auto at = std::find_if(phases.begin(), phases.end(), [&](const PhaseUse& x) { return x.name == name; });
    if (at == phases.end()) {
        at = phases.insert(phases.end(), PhaseUse{});
        at->name = name;
        at->times = 0;
    }
    at->times += times;
    for (const CommUse& c : calls) {
        at->communication += c.bytes;
        at->calls += c.calls;
        at->exposed += c.exposed;
    }
    add_calls(at->collectives, calls);
    return *at;
}

}  // namespace wb
