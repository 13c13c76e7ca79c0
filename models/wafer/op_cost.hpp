#pragma once

#include <string>

#include "core/graph.hpp"
#include "models/wafer/kernels.hpp"

namespace wb::wafer {

/// How one op is to run: on which rectangle, with its rows (tokens, sequences) in `split` equal pieces of which this is
/// one, by which algorithm where one is forced ("meshgemm", "meshgemv").
struct Where {
    Grid grid;
    std::int64_t split = 1;
    std::string algorithm = {};
    double room = 0;  ///< bytes of each PE's SRAM that nothing resident takes
};

/// Cost of one execution of an op, by the cheapest algorithm that fits.
Cost op_cost(const Machine& m, const Graph& g, const Op& op, const Where& where);

}  // namespace wb::wafer
