#pragma once

#include <cstdint>
#include <vector>

#include "core/backend.hpp"
#include "core/graph.hpp"
#include "core/memory_plan.hpp"

namespace wb::reference {

/// A graph with the values of all its tensors, every instance in memory of its own, as doubles. Outputs of ops are not
/// rounded to their tensors' types (indices and the weights of an update with a master copy are); what is filled is.
class Execution {
public:
    /// Fills inputs, weights and states. `graph` must outlive this.
    Execution(const Graph& graph, std::uint64_t seed);

    /// Executes all blocks once. The n-th call is step n of every optimizer in the graph.
    void run();
    /// Every tensor marked as output and every weight and state changed by a run, all instances.
    Outputs outputs() const;
    /// Puts NaN into everything that a run must write.
    void poison();
    /// The values `id` means in an iteration of its block.
    std::vector<double>& values(TensorId id, std::int64_t iteration = 0);
    const std::vector<double>& values(TensorId id, std::int64_t iteration = 0) const;

private:
    void run(const Op& op, std::int64_t iteration);

    const Graph& graph_;
    std::uint64_t seed_;
    std::int64_t step_ = 0;
    std::vector<std::vector<std::vector<double>>>
        values_;  // by tensor and instance; nothing for names of other tensors
};

/// Bytes an Execution of `graph` holds.
double bytes_held(const Graph& graph);

}  // namespace wb::reference
