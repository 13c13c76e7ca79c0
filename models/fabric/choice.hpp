#pragma once

#include <optional>

#include "core/case.hpp"
#include "models/fabric/candidate.hpp"

namespace wb::fabric {

/// What a case becomes on the mesh, or why it cannot be simulated.
struct Choice {
    std::optional<Candidate> candidate;
    std::string refused;
    double seconds = 0;  ///< of simulating it once, about
};

/// The mesh and algorithm the case names. Where it names none: the largest square mesh that is simulated in seconds,
/// and the algorithm that the laws find the quickest of those that fit the PEs' SRAM.
Choice choose(const Case& c);

/// f32 or f16, if the operands and the first result of the graph's only op are of that type.
std::optional<Type> type_of(const Graph& graph);

}  // namespace wb::fabric
