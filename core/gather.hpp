#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "core/backend.hpp"
#include "core/partition.hpp"

namespace wb {

/// The values that this rank holds of one instance of a local tensor.
using ReadValues = std::function<std::vector<double>(TensorId local, std::int64_t instance)>;

/// The declared outputs of `whole`, and with `with_changed` every input, weight and state that a run changes, put
/// together on rank 0 from the parts that the ranks of `comm` hold; nothing on the others. Collective: `part` is each
/// rank's own, `read` is asked in the same order on all of them.
std::optional<Outputs> gather_outputs(const Graph& whole, const Partition& part, bool with_changed, Comm& comm,
                                      const ReadValues& read);

}  // namespace wb
