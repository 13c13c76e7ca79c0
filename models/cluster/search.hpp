#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/graph.hpp"
#include "core/partition.hpp"
#include "models/cluster/parts.hpp"
#include "models/cluster/training.hpp"
#include "models/footprint.hpp"
#include "models/lawful.hpp"

namespace wb::cluster {

/// A mapping with what it takes.
struct Candidate {
    Mapping mapping;
    ModelStep step;
    Footprint memory;
};

/// What a search found.
struct Found {
    std::optional<Candidate> best;           ///< the fastest that fits
    std::vector<Candidate> others;           ///< the best with other ranks, fastest first; a few
    std::optional<Candidate> too_large;      ///< faster than the best, if memory were no matter
    std::optional<Candidate> smallest;       ///< where nothing fits: what comes nearest
    double capacity = 0;                     ///< bytes of a unit; 0: unlimited
    std::int64_t kept = 0;                   ///< lawful mappings none of which fits unless the host helps
    std::int64_t evaluated = 0, lawful = 0;  ///< mappings costed; all lawful ones, those that do not fit included
    std::string text() const;                ///< a few lines: why the best others lost
};

/// Kernel costs of one model on one device, kept for each count of tensor ranks and share of the tokens: an evaluation
/// of a mapping is arithmetic on them.
class Planner {
public:
    /// `graph` of the whole batch; its dtypes resolved for the system. Both must outlive the planner.
    Planner(const Graph& graph, const Device& device);
    /// Takes its parts from, and leaves them to, planners before and after it.
    Planner(std::shared_ptr<const Graph> graph, const Device& device, Parts& parts);
    ~Planner();

    const ModelShape& shape() const { return shape_; }
    /// Tensor rank 0's part. Throws Error where the graph cannot be cut like that.
    const Partition& part(int tensor);
    const ModelMemory& memory(int tensor);
    const ModelWork& work(const Mapping& mapping);
    /// Time and memory of one lawful mapping.
    Candidate evaluate(const Mapping& mapping);

    /// Every lawful mapping of exactly `units`: tensor x pipeline x data x context x expert ranks, microbatches,
    /// virtual stages, sequence parallelism, recomputation and sharing by replicas (up to `most_shared`, as
    /// Mapping::shard). Where none fits, and the system tells of its hosts, the same with what they can hold.
    Found search(int units, int most_shared = 3);

private:
    struct Tensor;
    class Walk;
    Tensor& tensor(int ranks);
    std::shared_ptr<const Graph> graph_;
    const Device& device_;
    Parts own_;
    Parts& parts_;
    ModelShape shape_;
    ScheduleConstants constants_;
    std::vector<std::unique_ptr<Tensor>> tensors_;
};

}  // namespace wb::cluster
