#include "core/phase_taken.hpp"

namespace wb {

using Clock = std::chrono::steady_clock;

PhaseMeter::PhaseMeter(const Players& players)
    : players_(players), missed_(players.counted()), energy_(players.energy()), start_(Clock::now()) {}

void PhaseMeter::add_to(PhaseTaken& taken) const {
    taken.time += Seconds(std::chrono::duration<double>(Clock::now() - start_).count());
    if (const std::optional<Joules> after = players_.energy(); energy_ && after && *after >= *energy_)
        taken.energy = taken.energy.value_or(Joules(0)) + (*after - *energy_);
    if (const std::optional<Bytes> after = players_.counted(); missed_ && after)
        taken.missed = taken.missed.value_or(Bytes(0)) + (*after - *missed_);
}

void PhaseTaken::append_to(Sample& sample, const Phase& phase) const {
    Span span;
    span.resource = "phase";
    span.phase = phase.name;
    span.start = sample.elapsed;
    span.duration = time;
    span.flops = phase.graph->flops() * static_cast<double>(phase.times);
    sample.spans.push_back(span);
    sample.elapsed += time;
}

PhaseUse& PhaseTaken::report_to(ResourceUse& use, const Phase& phase, Bytes held) const {
    PhaseUse& at = add_phase(use.phases, phase.name, phase.times, communication);
    at.time += time;
    at.fastest = at.time;
    at.memory = held;
    if (missed) at.counted = at.counted.value_or(Bytes(0)) + *missed;
    if (energy) {
        at.energy = at.energy.value_or(Joules(0)) + *energy;
        use.energy = use.energy.value_or(Joules(0)) + *energy;
    }
    add_calls(use.communication, communication);
    return at;
}

}  // namespace wb
