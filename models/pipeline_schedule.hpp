#pragma once

#include <vector>

#include "core/mapping.hpp"
#include "models/device.hpp"
#include "models/model_work.hpp"
#include "models/steps.hpp"
#include "models/timeline.hpp"

namespace wb::cluster {

/// One pass of one microbatch through one run of layers.
struct Turn {
    int microbatch = 0, chunk = 0;
    bool backward = false;
    bool operator==(const Turn&) const = default;
};

/// The order in which a stage takes its turns: all forward, then all backward (GPipe, mapping.algorithm "gpipe"; Huang
/// et al. 2019), one forward and one backward in turn (1F1B; Narayanan et al. 2019), or that over several runs of
/// layers (interleaved; Narayanan et al. 2021, section 2.2). Without a backward pass: microbatch after microbatch.
std::vector<Turn> turns(const Mapping& mapping, int stage, bool training);

/// What every stage does in one step: computing, handing on activations and gradients, calls between tensor, context
/// and expert ranks, at the end gradients and update.
StageSteps pipeline_steps(const ModelWork& work, const Device& device, const Mapping& mapping);

/// Seconds of the messages and collectives of such steps in closed form, for play().
StepSeconds step_seconds(const Device& device, const Mapping& mapping);

}  // namespace wb::cluster
