#pragma once

#include <optional>
#include <vector>

#include "kernels/workloads/onnx/plan.hpp"

namespace wb::onnx_import {

/// Equal layers of a plan: ops [first, first + period) and the `times` - 1 runs of as many that follow.
struct Layers {
    int first = 0, period = 0, times = 1;
    /// What a layer takes from the one before it: the value of an op of that layer, and of the first one's instead.
    struct Carry {
        int from;  ///< op, from `first` on
        int init;  ///< tensor
    };
    std::vector<Carry> carries;
};

/// The longest run of layers that are alike in operators, sizes and in what they take from where; nothing if no two
/// are.
std::optional<Layers> find_layers(const Plan& plan);

}  // namespace wb::onnx_import
