#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/grid.hpp"
#include "core/quantity.hpp"

namespace wb {

/// What sort of number it is. Kinds never share an unlabelled column.
enum class Kind : std::uint8_t { measured, emulated, simulated, modelled, bound };
std::string_view name(Kind kind);
std::optional<Kind> kind_from_name(std::string_view text);

enum class Status : std::uint8_t { ok, failed, timeout, skipped, invalid };
std::string_view name(Status status);
std::optional<Status> status_from_name(std::string_view text);

/// One box on a timeline.
struct Span {
    int op = -1;
    std::string resource;  ///< "compute", "memory", a fabric's name
    std::string phase;
    Seconds start, duration;
    Bytes bytes;
    Flops flops;
};

/// One run of a session on one rank.
struct Sample {
    Seconds elapsed;
    std::vector<Span> spans;
    std::string problem = {};  ///< why it ended before its end, the same on all ranks; empty if it did not
};

struct MemoryUse {
    std::string level;
    Bytes capacity, peak, traffic;
};

/// Traffic of one rank with one collective over one fabric, in one run.
struct CommUse {
    std::string fabric, operation;
    std::int64_t calls = 0;
    Bytes bytes;            ///< handed to the calls by this rank
    Seconds time, exposed;  ///< in the calls; not hidden behind compute
};

/// Adds the calls of `times` runs alike to those over the same fabric of the same operation.
void add_calls(std::vector<CommUse>& to, const std::vector<CommUse>& run, std::int64_t times = 1);

/// How far off a number that is not measured may be, as factors of it; 1 and 1 when exact by definition (a bound).
struct Band {
    double low = 1, high = 1;
    std::string source;
};

/// What the machine that was measured would take for the same work at the rates it was ever seen to reach.
struct Ceiling {
    Seconds time;       ///< 0: unknown
    Seconds compute;    ///< of its arithmetic alone, at the rates of large matrix products: over the real time, the MFU
    std::string limit;  ///< what takes that long: "compute", "DRAM", "network", "storage"
};

/// What one phase of a composed workload took, all its runs together.
struct PhaseUse {
    std::string name;
    std::int64_t times = 1;
    Seconds time, fastest;               ///< of the slowest and of the fastest rank
    Bytes memory;                        ///< held at most, largest rank
    Bytes communication;                 ///< handed to collectives, all ranks
    std::int64_t calls = 0;              ///< of collectives, all ranks
    Seconds exposed;                     ///< communication that nothing hides, slowest rank
    std::vector<CommUse> collectives{};  ///< the same by fabric and operation; of all ranks, times of the slowest
    std::optional<Joules> energy;
    Flops useful;
    Band band;
    std::string limit;  ///< the resource that is busy longest in it; measured: that would be, at the ceilings
    Ceiling ceiling{};
    std::vector<MemoryUse> levels{};  ///< traffic that each level of memory must at least see, all runs and ranks
    std::optional<Bytes> counted{};  ///< read into the caches, as the processor counted; nothing where it does not tell
};

/// A quantity that changes in the course of one run: the loss by step, a queue by time.
struct Series {
    std::string name, unit, about, at_unit;  ///< at_unit: "step", "s"
    std::vector<double> at, values;
};

/// What was read or written in the course of a run: "prompt", "answer".
struct Text {
    std::string name, text;
};

/// The entry of a phase, appended if there is none yet, with `times` more runs and what they handed to collectives.
PhaseUse& add_phase(std::vector<PhaseUse>& phases, const std::string& name, std::int64_t times,
                    const std::vector<CommUse>& calls);

struct Verification {
    bool done = false;
    std::string method;               ///< "whole result against reference", "reduced size: ...", "exact"
    double error = 0, tolerance = 0;  ///< largest |difference| / scale, and what is allowed
};

/// What one case yielded.
struct Measurement {
    std::string key;
    Status status = Status::ok;
    std::string reason;  ///< why not ok, or why sampling stopped
    Kind kind = Kind::measured;
    Band band;
    std::vector<double> samples_s;                    ///< maximum over ranks of each run
    std::vector<std::vector<double>> rank_samples_s;  ///< by rank
    std::vector<Span> spans;                          ///< of one run, on rank 0
    std::vector<MemoryUse> memory;                    ///< largest over ranks
    std::vector<CommUse> communication;               ///< sum over ranks of bytes and calls, maximum of times
    std::vector<PhaseUse> phases;                     ///< of a composed workload, in order
    std::vector<Series> series;                       ///< on rank 0
    std::vector<Grid> grids;                          ///< over the PEs of a mesh, thinned out
    std::vector<Text> texts;                          ///< where the tokeniser of a generation is known
    Ceiling ceiling;                                  ///< of what is measured on a host whose rates are known
    std::optional<Joules> energy;
    Flops useful, overhead;  ///< credited over all ranks; done beyond the graph's own
    Verification verification;
    std::string mapping, resolved_dtype,
        detail;  ///< how it was spread, what class types became, what ran ("oneDNN 2.6")
    double prepare_s = 0, verify_s = 0, harness_s = 0;
    std::vector<std::string> warnings;
};

}  // namespace wb
