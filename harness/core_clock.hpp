#pragma once

namespace wb {

/// What reading the clock itself costs.
struct TimerCost {
    double overhead_s = 0;    ///< one reading, median
    double resolution_s = 0;  ///< smallest step seen between two readings that differ
};

/// Of a clock that never goes back.
double now_s();
/// Ticks per second of this core, from a chain of dependent one-cycle additions; best of several runs of 2 ms.
double measured_core_clock_hz(int runs = 5);
TimerCost measured_timer_cost();

}  // namespace wb
