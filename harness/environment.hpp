#pragma once

#include <optional>
#include <string>
#include <vector>

#include "harness/core_clock.hpp"

namespace wb {

/// What the machine looked like at one moment. Empty or nullopt: this system does not tell.
struct Environment {
    double monotonic_s = 0;
    std::string hostname, kernel, cpu_model;
    int cpus_online = 0, cpus_allowed = 0;
    std::string governor;                    ///< of the first allowed CPU, e.g. "performance"
    std::optional<double> frequency_hz;      ///< scaling_cur_freq of that CPU
    std::optional<double> max_frequency_hz;  ///< cpuinfo_max_freq
    double core_clock_hz = 0;                ///< measured on this thread; 0 where no chain is written for the processor
    double load = 0;                         ///< runnable tasks, 1 min average
    double memory_total_bytes = 0, memory_available_bytes = 0;
    std::string transparent_huge_pages;        ///< "always", "madvise", "never"
    std::optional<bool> smt;                   ///< two threads a core, now active
    std::optional<int> address_randomisation;  ///< 0 off, 1, 2 full
    std::optional<double> cpu_quota;           ///< CPUs the control group may use, the tightest on the way to the root
    std::optional<double> memory_limit_bytes;  ///< likewise
    std::string container;                     ///< "docker", "podman", "apptainer", ...; empty: no sign of one
    std::optional<long> thermal_throttles;     ///< events since boot, cores and packages
    std::optional<long> quota_throttles;       ///< periods in which the quota stopped this control group
    std::optional<double> stolen_s;            ///< CPU time the hypervisor gave to others, since boot
    std::string clock_source;
    TimerCost timer;
    std::vector<std::vector<int>> thread_cpus;  ///< per OpenMP thread: the CPUs it may run on
};

/// Reads /proc and /sys under `root`, and measures clock, timer and masks of `threads` OpenMP threads on the running
/// machine: about 15 ms.
Environment take_environment(int threads, const std::string& root = "");

/// What was seen, why it matters, what to do: one text each. Needs the same machine before and after a run.
std::vector<std::string> warnings(const Environment& before, const Environment& after);

/// One JSON object, SI units in the names; what is unknown is null.
std::string to_json(const Environment& environment);

/// How the process was started, for the launch line of check_threads().
struct Launch {
    int ranks = 1, nodes = 1;
    std::string program = "waferbench ...";
};
/// Throws Error Exit::environment when `threads` of this rank exceed the CPUs it may use, with the line to launch
/// instead.
void check_threads(int threads, int allowed_cpus, bool oversubscribe_allowed, const Launch& launch = {});

/// CPUs this process may use, ascending: its OpenMP places where threads are bound, else the calling thread's mask.
std::vector<int> allowed_cpus();

}  // namespace wb
