#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/quantity.hpp"

namespace wb::cpu {

/// Counts an event of the processor or the kernel in all threads of this process: those there are when it is made, and
/// those they start later.
class EventCounter {
public:
    /// `type` and `event` as perf_event_open(2) has them.
    EventCounter(std::uint32_t type, std::uint64_t event);
    ~EventCounter();
    EventCounter(const EventCounter&) = delete;
    EventCounter& operator=(const EventCounter&) = delete;

    /// Since it was made, extrapolated where the processor shared its counters out. Nothing where the machine, or the
    /// kernel's perf_event_paranoid, has no such event for us.
    std::optional<double> read() const;

private:
    std::vector<int> threads_;  // a descriptor each
};

/// Bytes that this process' misses of the last-level cache have fetched: the processor's generic event, a line each.
/// What it prefetches or writes back by itself is not in it, so that memory saw at least this.
class MissCounter {
public:
    MissCounter();
    std::optional<Bytes> read() const;

private:
    EventCounter misses_;
};

}  // namespace wb::cpu
