#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/op.hpp"

namespace wb::onnx_import {

/// A value as elements of a matrix of the graph being made, put elsewhere by Reshape, Transpose, Slice, Split or
/// Expand: each axis is a mixed-base number whose digits step through the matrix. Nothing is moved; the operator that
/// reads the value sees where it comes from.
struct View {
    struct Digit {
        std::int64_t extent, stride;
        bool operator==(const Digit&) const = default;
    };
    using Axis = std::vector<Digit>;  ///< the last digit runs fastest

    int base = -1;  ///< tensor of the plan
    std::int64_t offset = 0;
    std::vector<Axis> axes;
    double scale = 1;  ///< a factor that waits for an operator that has one

    /// All of a row-major tensor, seen with another shape of as many elements.
    static View dense(int base, const Shape& shape);
    Shape shape() const;
    /// All axes as one number, neighbours joined where they step alike.
    Axis flat() const;

    std::optional<View> reshaped(const Shape& shape) const;
    View transposed(const std::vector<std::int64_t>& order) const;
    std::optional<View> cut(std::size_t axis, std::int64_t first, std::int64_t count) const;
    std::optional<View> expanded(const Shape& shape) const;
};

/// Columns of a matrix, in an order of their own.
struct Columns {
    std::int64_t offset = 0;
    View::Axis digits;
    bool operator==(const Columns&) const = default;
    std::int64_t count() const;
};

/// The columns of a matrix [rows, columns] that a view shows, if it shows all rows in their order.
std::optional<Columns> columns_of(const View& view, std::int64_t rows, std::int64_t columns);

}  // namespace wb::onnx_import
