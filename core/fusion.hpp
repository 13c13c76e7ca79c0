#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/graph.hpp"

namespace wb {

/// Ops of one block that can be computed as the epilogue of a matmul, in the one pass that writes its result. All of
/// them are computed at the matmul's place: what they read is there, and nobody else reads what is not written.
struct Fusion {
    /// What `sum` adds up over rows: the result, or an operand of the matmul, whose rows run along k.
    enum class Summed : std::uint8_t { none, result, first, second };

    int product = -1;     ///< the matmul
    int activation = -1;  ///< the gelu (tanh form) of its result, or the gelu_backward of it
    int add = -1;         ///< adds another tensor to its result
    int sum = -1;         ///< a sum_rows: a bias's gradient
    Summed summed = Summed::none;
    bool kept = false;  ///< the argument of the gelu is read by others too: it is written beside the result

    /// The ops beside the matmul.
    std::vector<int> others() const;
};

/// Which ops of a graph are computed together.
struct FusedOps {
    std::vector<Fusion> fusions;
    std::vector<int> place = {};    ///< by op: the op at whose place it is computed; empty: each at its own
    std::vector<bool> absent = {};  ///< by tensor: values that exist only within an epilogue

    bool is_absent(TensorId id) const { return !absent.empty() && absent[index(id)]; }
    int place_of(int op) const { return place.empty() ? op : place[static_cast<std::size_t>(op)]; }
    /// The ops computed at the place of one, itself first; none if that is computed at another's.
    std::vector<int> computed_at(int op) const;
};

/// Offers every fusion that `g` allows to `accept`, of the ops of one matmul the most first, and keeps those it takes.
FusedOps fuse(const Graph& g, const std::function<bool(const Fusion&)>& accept);

}  // namespace wb
