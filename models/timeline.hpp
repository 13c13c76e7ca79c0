#pragma once

#include <functional>
#include <vector>

#include "core/measurement.hpp"
#include "models/steps.hpp"

namespace wb {

/// Seconds of a message or a collective, launch included, from the first byte to the last.
using StepSeconds = std::function<double(const Step&)>;

/// When the units of every stage do what: one unit stands for its stage, no link is shared.
struct Timeline {
    double seconds = 0;             ///< until the last stage is done
    std::vector<Span> spans;        ///< resource "stage 3 compute", "stage 3 network", "stage 3 idle": by start
    std::vector<double> idle;       ///< s, by stage: the bubble, waiting for messages, until all are done
    std::vector<double> exposed;    ///< s, by stage: sends and collectives that nothing hides
    std::vector<double> busy;       ///< s, by stage: compute
};

/// List scheduling: each stage goes through its steps in order; a message leaves when its send begins and is there
/// `cost` later, its sender is held for the exposed share of that; a receive waits for its message; a collective holds
/// its stage for its exposed share. Throws Error if the stages wait for each other in a circle or a message never
/// comes. O(steps).
Timeline play(const StageSteps& steps, const StepSeconds& cost);

}  // namespace wb
