#pragma once

#include <string>
#include <vector>

#include "core/graph.hpp"
#include "core/measurement.hpp"
#include "models/device.hpp"

namespace wb::cluster {

/// What one unit does in one run of its local graph, op after op: kernels at the speed of the device, collectives over
/// `ranks` units. A single operator pays the launch floor of the timer it was measured with; in a longer program the
/// launches run ahead and each kernel only leaves a gap.
struct Step {
    double time = 0;
    double flops = 0, bytes = 0;  ///< done by the device, through main memory
    double communication = 0;     ///< s in collectives
    std::vector<Span> spans;      ///< by phase: compute and network
};
/// `algorithm`: of the collectives, see collective_time(); "searched": products of the best shape of a search.
Step cost(const Graph& local, const Device& device, int ranks, const std::string& algorithm = "");

}  // namespace wb::cluster
