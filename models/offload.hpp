#pragma once

#include <algorithm>
#include <string>

#include "core/mapping.hpp"
#include "models/device.hpp"
#include "models/footprint.hpp"
#include "models/model_work.hpp"

namespace wb::cluster {

/// The host of a node as the facts of [node] tell it: host_memory, host_memory_bandwidth, host_link.
struct Host {
    double memory = 0;  ///< bytes of a node's host; 0 if unknown
    double rate = 0;    ///< bytes/s at which the hosts of a node go through their memory in an update; 0 if unknown
    double link = 0;    ///< bytes/s of one unit to its host, each direction; 0 if unknown
    double units = 1;   ///< of a node, which share memory and rate
    double share(int all) const { return memory / std::min<double>(units, all); }  ///< bytes for each of `all` units
};
Host host_of(const Device& device);

/// Seconds of a step that keeps the optimizer's state in the memory of the host (ZeRO-Offload; Ren et al. 2021):
/// 16-bit gradients go down while the backward pass makes the next, the host adds and updates, and weights come back
/// while it does. Where replicas do not share the gradients they are summed on the units first and go down once.
struct Offload {
    double stall = 0;   ///< of every microbatch: its backward pass is shorter than the way down
    double tail = 0;    ///< of a step: gradients that are there last, or all that nothing hides
    double update = 0;  ///< of a step, the way up included
    double bytes = 0;   ///< that a unit sends down in a step; as many weights come up
};
/// `backward`: s of one microbatch's backward pass of a stage, recomputation included.
Offload offload(const ModelWork& work, const Host& host, const Mapping& mapping, double backward);

/// Whether gradients leave the unit with every microbatch.
bool gradients_leave(const Mapping& mapping);

/// Why the hosts cannot hold what the mapping offloads; empty if they can, or if nothing is offloaded.
std::string host_refusal(const Footprint& footprint, const Device& device, const Mapping& mapping);

}  // namespace wb::cluster
