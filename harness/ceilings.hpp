#pragma once

#include <optional>

#include "core/backend.hpp"

namespace wb {

/// The machine as it was seen at its best, for a bound to be taken on it: peaks are the rates of large matrix products,
/// each level of memory has the best of its loops, storage one stream, the network the messages between `ranks`
/// processes. One unit is one rank: it has its share of everything. Nothing where the file tells no rate of products.
std::optional<System> at_its_ceilings(const System& host, int ranks);

/// Sets the ceiling of the measured case, and of each of its phases: what `bound` says of the same graphs on the
/// machine at its ceilings; and the traffic each level of memory must at least see. Leaves `m` as it is where that is
/// not known.
void add_ceilings(const Case& c, const Backend& bound, int ranks, Measurement& m);

}  // namespace wb
