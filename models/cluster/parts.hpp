#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "core/graph.hpp"
#include "core/partition.hpp"
#include "models/device.hpp"
#include "models/footprint.hpp"

namespace wb::cluster {

/// Tensor rank 0's part of a graph and what it holds.
struct Part {
    Partition cut{Graph(""), {}};
    ModelMemory memory;
};

/// Parts of graphs, kept from case to case: none depends on the speed of a device, so a fit cuts each graph once.
class Parts {
public:
    /// Throws Error where the graph cannot be cut like that.
    std::shared_ptr<const Part> of(const std::shared_ptr<const Graph>& graph, const Device& device, int ranks);

private:
    struct Entry {
        std::shared_ptr<const Graph> graph;  ///< kept, so that no other can take its address
        int ranks = 1;
        bool unfused = false;
        std::optional<DType> native16, native8;
        std::shared_ptr<const Part> part;
    };
    std::vector<Entry> entries_;
};

}  // namespace wb::cluster
