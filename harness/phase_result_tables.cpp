// Reads and prints: compiled at -O1.
#include <limits>

#include "harness/case_rows.hpp"
#include "harness/result_tables.hpp"

namespace wb {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

Table phases_table(const ResultSet& set) {
    return case_rows(
        set, {"phases", "phases of composed workloads: all runs of a phase in one run of the case"},
        &Measurement::phases, [](TableBuilder& t, const PhaseUse& p, std::int64_t) {
            t.text("phase", "phase of the workload", p.name);
            t.whole({"times", "1", "runs of the phase", "input"}, p.times);
            t.real({"time_s", "s", "slowest rank", "by case, see cases/kind", "lower"}, p.time.si());
            t.real({"time_fastest_s", "s", "fastest rank", "by case, see cases/kind"}, p.fastest.si());
            t.real({"memory_B", "B", "held at most, largest rank", "by case, see cases/kind", "lower"}, p.memory.si());
            t.real({"communication_B", "B", "handed to collectives by all ranks", "by case, see cases/kind", "lower"},
                   p.communication.si());
            t.whole({"calls", "1", "collective calls of all ranks", "by case, see cases/kind"}, p.calls);
            t.real({"exposed_s", "s", "communication nothing hides", "by case, see cases/kind", "lower"},
                   p.exposed.si());
            t.real({"energy_J", "J", "energy; NaN where unknown", "by case, see cases/kind", "lower"},
                   p.energy ? p.energy->si() : nan);
            t.real({"flops", "FLOP", "useful work", "derived"}, p.useful.si());
            t.real({"band_low", "1", "error band as a factor", "derived"}, p.band.low);
            t.real({"band_high", "1", "high end", "derived"}, p.band.high);
            t.text("limit", "the resource that is busy longest", p.limit, "derived");
            const bool known = p.ceiling.time > Seconds(0);
            t.real({"ceiling_s", "s", "the least time at the rates this host was seen to reach; NaN where unknown",
                    "derived"},
                   known ? p.ceiling.time.si() : nan);
            t.real({"mfu", "1", "arithmetic at the rate of large matrix products, over the time", "derived", "higher"},
                   known ? p.ceiling.compute / p.time : nan);
            t.real({"counted_B", "B",
                    "misses of the last-level cache in lines, as the processor counted; NaN where it does not tell",
                    "measured", "lower"},
                   p.counted ? p.counted->si() : nan);
        });
}

Table phase_memory_table(const ResultSet& set) {
    TableBuilder t("phase_memory", "what a level of memory must at least see of a measured phase, all runs and ranks");
    std::int64_t id = 0;
    for (const Result& r : set.results) {
        for (const PhaseUse& p : r.m.phases)
            for (const MemoryUse& u : p.levels) {
                t.whole({"case_id", "1", "row of cases", "input"}, id);
                t.text("phase", "phase of the workload", p.name);
                t.text("level", "level of memory, or storage", u.level, "derived");
                t.real(
                    {"traffic_B", "B", "computed from the graph, not measured: what no cache can spare it", "derived"},
                    u.traffic.si());
                t.end_row();
            }
        ++id;
    }
    return t.take();
}

Table phase_communication_table(const ResultSet& set) {
    TableBuilder t("phase_communication",
                   "collectives of a phase, all its runs: calls and bytes of all ranks together, slowest rank's time");
    std::int64_t id = 0;
    for (const Result& r : set.results) {
        for (const PhaseUse& p : r.m.phases)
            for (const CommUse& u : p.collectives) {
                t.whole({"case_id", "1", "row of cases", "input"}, id);
                t.text("phase", "phase of the workload", p.name);
                t.text("fabric", "over what", u.fabric, "derived");
                t.text("operation", "collective", u.operation, "derived");
                t.whole({"calls", "1", "calls of all ranks", "by case, see cases/kind"}, u.calls);
                t.real({"bytes_B", "B", "handed to the calls by all ranks", "by case, see cases/kind", "lower"},
                       u.bytes.si());
                t.real({"time_s", "s", "in the calls", "by case, see cases/kind", "lower"}, u.time.si());
                t.real({"exposed_s", "s", "not hidden behind compute", "by case, see cases/kind", "lower"},
                       u.exposed.si());
                t.end_row();
            }
        ++id;
    }
    return t.take();
}

}  // namespace

std::vector<MakeTable> phase_tables() { return {phases_table, phase_memory_table, phase_communication_table}; }

}  // namespace wb
