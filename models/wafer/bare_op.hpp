#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/mapping.hpp"
#include "models/wafer/op_cost.hpp"

namespace wb::wafer {

/// A bare operator as a kernel of its own, on the rectangle and by the algorithm that are quickest.
struct BareOp {
    Cost cost;
    Grid grid;
    std::string algorithm;
    double sram_bytes = 0;  ///< of the fullest PE
};

/// A graph of one op is the kernel itself, by the laws of models/*_laws.hpp, which the programs of the mesh simulator
/// follow; in the graph of a model the same op runs under a runtime whose costs are fitted (see op_cost.hpp). `mapping`
/// may force rectangle and algorithm.
struct BareChoice {
    std::optional<BareOp> best;  ///< none: no law speaks of such an op, or `refused`
    std::string refused;         ///< nothing fits, with the number that is closest
};
BareChoice bare_op(const Machine& m, const Graph& g, const Mapping& mapping);

/// The words for Mapping::algorithm.
std::vector<std::string> known_algorithms();

}  // namespace wb::wafer
