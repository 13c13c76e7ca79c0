#pragma once

#include "core/graph.hpp"
#include "models/kernel.hpp"

namespace wb::cluster {

/// What one operator of a rank's graph costs the unit when it works on the share `tokens` of the graph's tokens (a
/// microbatch of a replica); weights and what is done to them stay whole. Collectives cost nothing here.
Kernel kernel_of(const Device& device, const Graph& local, const Op& op, double tokens = 1);

}  // namespace wb::cluster
