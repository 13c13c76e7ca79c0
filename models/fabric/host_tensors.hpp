#pragma once

#include <cstdint>
#include <vector>

#include "core/backend.hpp"

namespace wb::fabric {

/// The tensors of a graph of one op outside the mesh: inputs filled as every backend fills them, rounded to their
/// types, and room for the outputs. Where several ranks hold a tensor each, it exists once for each of them.
class HostTensors {
public:
    HostTensors(const Graph& graph, std::uint64_t seed, std::int64_t ranks = 1);

    /// Values of the op's operand i; of rank 0 if there are several.
    const std::vector<float>& input(std::size_t i) const { return in_[i]; }
    /// What element `i` of operand 0 is on rank `rank`.
    float of_rank(std::int64_t rank, std::int64_t i) const;
    /// The op's first output; `per_rank` elements each.
    std::vector<float>& output(std::int64_t rank = 0) { return out_[static_cast<std::size_t>(rank)]; }
    void size_output(std::int64_t per_rank);

    void poison();
    Outputs outputs() const;

private:
    const Graph& graph_;
    std::uint64_t seed_;
    std::vector<std::vector<float>> in_, out_;
};

/// Bytes HostTensors would hold.
double host_bytes(const Graph& graph, std::int64_t ranks);

}  // namespace wb::fabric
