#include "models/emulation/room.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>

namespace wb::emulation {
namespace {

constexpr double copies = 3;  // of a message: as it is sent, between ranks, as it waits

/// Units that play a stage's list.
double units_of_stage(const Program& p) { return static_cast<double>(p.units) / static_cast<double>(p.stages.size()); }

double members(const Program& program, const Play& p) {
    return p.inside > 0 ? p.inside : static_cast<double>(extent(program.mapping, p.axis)) / p.skip;
}

/// Sent by all units of a group, on average of each.
double sent_by_each(const Program& program, const Play& p) {
    if (p.kind != Step::Kind::collective) return p.kind == Step::Kind::send ? 1 : 0;
    const Collective& c = p.collective;
    const double n = members(program, p);
    switch (c.algorithm) {
        case Algorithm::tree: return c.operation == CollectiveKind::allreduce ? 2 * (n - 1) / n : (n - 1) / n;
        case Algorithm::chain: return c.blocks * (n - 1) / n;
        case Algorithm::pairwise:
        case Algorithm::direct: return n - 1;
        default: return c.rounds;
    }
}

/// The longest message of a collective, on any unit.
double longest(const Play& p) {
    if (p.kind != Step::Kind::collective) return static_cast<double>(p.bytes);
    int most = 1;
    for (int k = 0; k < p.collective.rounds; ++k) most = std::max(most, round_of(p.collective, 0, k).send.count);
    return std::ceil(static_cast<double>(p.bytes) / p.shards / p.collective.blocks) * most;
}

}  // namespace

double messages_of(const Program& program) {
    double all = 0;
    for (const auto& stage : program.stages)
        for (const Play& p : stage) all += sent_by_each(program, p) * units_of_stage(program);
    return all;
}

Burden burden(const Program& program, const StageSteps& steps, double in_flight) {
    Burden out;
    if (program.payload == Payload::none) return out;
    const bool full = program.payload == Payload::full;
    for (std::size_t s = 0; s < program.stages.size(); ++s) {
        double most = 0;
        for (const Play& p : program.stages[s]) {
            if (p.kind == Step::Kind::compute) continue;
            const bool collective = p.kind == Step::Kind::collective;
            const double message = longest(p), buffer = full && collective ? static_cast<double>(p.bytes) : 0;
            most = std::max(most, 2 * buffer + copies * message * (collective ? p.collective.ahead + 1 : in_flight));
            if (std::max(buffer, message) <= out.largest_bytes) continue;
            const Step& step = steps.stages[s][static_cast<std::size_t>(p.step)];
            out.largest_bytes = std::max(buffer, message);
            out.largest = step.phase;
            if (collective && step.phase != name(step.operation))
                out.largest += fmt::format(" ({})", name(step.operation));
        }
        out.bytes += most * units_of_stage(program);
    }
    return out;
}

double free_bytes() {
    std::ifstream in("/proc/meminfo");
    std::string key, unit;
    for (double kib = 0; in >> key >> kib; std::getline(in, unit))
        if (key == "MemAvailable:") return 1024 * kib;
    return static_cast<double>(sysconf(_SC_AVPHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE));
}

double local_share(int ranks) {
    for (const char* key : {"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "PMI_LOCAL_SIZE"})
        if (const char* text = std::getenv(key))
            return static_cast<double>(std::clamp(std::atoi(text), 1, ranks)) / ranks;
    return 1;
}

}  // namespace wb::emulation
