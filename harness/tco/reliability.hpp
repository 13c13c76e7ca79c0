#pragma once

#include <cstdint>

namespace wb::tco {

/// How the things fail that a tightly coupled job runs on, and what each failure costs it. A thing is what fails as
/// one: a GPU with its share of the host, a node, a wafer.
struct Reliability {
    double mtbf_s = 0;        ///< of one thing; above 0
    double checkpoint_s = 0;  ///< the job stands still for one checkpoint; 0 costs nothing
    double restart_s = 0;     ///< from a failure to the first new step: noticing it, swapping in a spare, reading
    double repair_s = 0;      ///< until a thing that failed can be used again
};

/// What is left of a job's time on `things` of them.
struct Goodput {
    double failures_per_s = 0;  ///< of all things together
    double interval_s = 0;      ///< work between two checkpoints at which most is left; infinite if nothing fails
    double kept = 1;            ///< part of the time with enough things that becomes progress
    double available = 1;       ///< part of the time with enough things
    double goodput() const { return kept * available; }
};

/// The work between checkpoints at which most is left, for failures that come at random with `mtbf_s` between them.
/// Solves the exact condition of Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps"
/// (FGCS 22, 2006): exp(-(w + c) / M) = 1 - w / M.
double best_interval(double mtbf_s, double checkpoint_s);
/// His closed form of the same: sqrt(2 c M) (1 + sqrt(c / 2M) / 3 + c / 18M) - c, and M where c >= 2M.
double daly_interval(double mtbf_s, double checkpoint_s);

/// Part of the time that becomes progress with `interval_s` of work between checkpoints of `checkpoint_s`: Daly 2006:
/// failures also strike while the job restarts, w / (M exp(R / M) (exp((w + c) / M) - 1)).
double progress(double mtbf_s, double checkpoint_s, double restart_s, double interval_s);

/// Part of the time that `things` work while `spares` more stand by: Erlang's loss formula (1917) with one place for
/// each spare and one for the job that waits; nothing fails while it waits. Holds for repair times of any distribution.
double availability(double failures_per_s, double repair_s, std::int64_t spares);
/// The fewest spares with which that part is `wanted` or more; 0 < wanted < 1.
std::int64_t spares_for(double failures_per_s, double repair_s, double wanted);

/// At the best interval. `things` >= 1.
Goodput goodput(const Reliability& r, double things, std::int64_t spares);

}  // namespace wb::tco
