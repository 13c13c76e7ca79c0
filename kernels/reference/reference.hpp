#pragma once

#include <cstdint>
#include <memory>

#include "core/backend.hpp"
#include "core/graph.hpp"

namespace wb {

/// The judge of all other backends: plain loops in float64 on one thread of one process.
std::unique_ptr<Backend> make_reference();

namespace reference {

/// The outputs of the last of `runs` runs; states and weights change from run to run.
Outputs execute(const Graph& graph, std::uint64_t seed, int runs = 1);

}  // namespace reference
}  // namespace wb
