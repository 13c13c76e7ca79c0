#pragma once

#include "core/mapping.hpp"
#include "models/device.hpp"
#include "models/model_work.hpp"

namespace wb::cluster {

/// Units from one stage to the next: those of a stage are neighbours.
int stage_stride(const Mapping& mapping);
/// Whether the units of two stages that talk to each other lie in different domains.
bool crosses(const System& system, const Mapping& mapping, int stage, int other);

/// One microbatch handed to the next stage, by every tensor rank at once.
struct StageSend {
    double bytes = 0;       ///< of a rank's message
    bool gathered = false;  ///< each rank sent a part of what all have, and the receivers gather it
    double gather = 0;      ///< s of that
    double seconds = 0;     ///< in all
};
/// Inside a domain a message by itself; between domains all units send at once, each by its share of the ports. There
/// tensor ranks send a part each and gather where that is faster (scatter/gather; Narayanan et al. 2021, section 4.1);
/// with sequence parallelism they have no more than a part.
StageSend stage_send(const Device& device, const ModelWork& work, const Mapping& mapping, bool far);

/// Share of a message's time for which its stage waits: microbatches of other runs hide the rest.
double stage_exposed_fraction(const Device& device);

/// Seconds of a pipeline's messages.
struct StageSends {
    double mean = 0;    ///< of one hop from stage to stage
    double paired = 0;  ///< of the stage that is longest at it: one message to either side; without backward pass: one
};
StageSends stage_sends(const Device& device, const ModelWork& work, const Mapping& mapping);

}  // namespace wb::cluster
