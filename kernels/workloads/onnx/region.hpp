#pragma once

#include <functional>
#include <optional>
#include <set>
#include <vector>

#include "kernels/workloads/onnx/imported.hpp"

namespace wb::onnx_import {

/// A run of nodes that computes one value, `exit`, from one other, `entry`, and from constants.
struct Region {
    int entry = -1, exit = -1;
    std::vector<int> nodes;      ///< in order
    std::vector<int> constants;  ///< values
};

/// Which nodes may belong to a region, and which constants they may use.
struct Rules {
    std::function<bool(const Node&)> node;
    std::function<bool(const Value&)> constant;
};

/// All regions that start at `entry`: no value inside is needed outside but the exit.
std::vector<Region> regions_from(const Imported& graph, int entry, const Rules& rules);

/// Values from which `of` follows by nodes that obey the rules, `of` itself first, then by distance.
std::vector<int> sources_of(const Imported& graph, int of, const Rules& rules, int most_steps);

/// The exit's elements for these of the entry; constants without known elements, and those in `replaced`, are taken
/// from there. Nothing if an operator cannot be evaluated.
std::optional<Array> value_of(const Imported& graph, const Region& region, const Array& entry,
                              const std::map<int, Array>& replaced);

/// Puts one node in place of the region.
void replace(Imported& graph, const Region& region, Node by);

}  // namespace wb::onnx_import
