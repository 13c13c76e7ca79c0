#pragma once

#include <cstdint>
#include <vector>

#include "core/backend.hpp"

namespace wb::reference {

/// Random elements of the outputs of a graph whose only op is a matmul, an attention or a row-wise operator, each
/// computed from the rows it depends on; for sizes at which the whole result would take minutes. Empty for other
/// graphs.
std::vector<SpotValue> spot_values(const Graph& graph, std::uint64_t seed, int count);

}  // namespace wb::reference
