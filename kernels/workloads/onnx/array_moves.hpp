#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kernels/workloads/onnx/array.hpp"

namespace wb::onnx_import {

/// NumPy's rule: shapes are aligned at their ends, extents of 1 repeat. Nothing if they do not fit.
std::optional<Shape> broadcast(const Shape& a, const Shape& b);

/// From the index of an element of a broadcast shape to that of the smaller operand.
class Walk {
public:
    Walk(const Shape& from, const Shape& to);
    std::size_t operator()(std::size_t i) const;

private:
    struct Digit {
        std::size_t extent, stride;
    };
    std::vector<Digit> digits_;  // of `to`, the last one first
    bool same_;
};

/// Operators that only put elements elsewhere: Reshape, Transpose, Slice, Gather, Concat, Split, Expand, ...
bool moves_data(const std::string& op);
std::optional<std::vector<Array>> move_data(const std::string& op, const std::vector<const Array*>& in,
                                            const NodeAttributes& attributes, std::size_t outputs,
                                            std::size_t most_elements);

/// The ranges of Slice, by axis: first, count and step.
struct SliceRange {
    std::int64_t first = 0, count = 0, step = 1;
};
std::optional<std::vector<SliceRange>> slice_ranges(const Shape& shape, const std::vector<const Array*>& in,
                                                    const NodeAttributes& attributes);

/// The extents of a Split's outputs along its axis.
std::vector<std::int64_t> split_sizes(std::int64_t extent, const std::vector<const Array*>& in,
                                      const NodeAttributes& attributes, std::size_t outputs);

/// The shape Reshape, Squeeze, Unsqueeze and Flatten give; nothing if it is not known.
std::optional<Shape> reshaped(const std::string& op, const Shape& shape, const std::vector<const Array*>& in,
                              const NodeAttributes& attributes);

/// Transpose's order of axes.
std::vector<std::int64_t> permutation_of(std::size_t rank, const NodeAttributes& attributes);

}  // namespace wb::onnx_import
