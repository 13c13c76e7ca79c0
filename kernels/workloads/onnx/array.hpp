#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/op.hpp"

namespace wb::onnx_import {

/// Values known when a graph is imported: shapes, masks, tables of angles. Whole numbers and truth values too are
/// doubles, exact to 2^53.
struct Array {
    Shape shape;
    std::vector<double> v;

    Array() = default;
    Array(Shape s, std::vector<double> values) : shape(std::move(s)), v(std::move(values)) {}
    static Array scalar(double x) { return {{}, {x}}; }
    static Array filled(Shape s, double x);
    bool single() const { return v.size() == 1; }
};

/// The attributes of an ONNX node that are read here.
struct NodeAttributes {
    std::map<std::string, std::vector<std::int64_t>> ints;  ///< a single one too
    std::map<std::string, double> floats;
    std::map<std::string, Array> arrays;
    std::map<std::string, std::string> words;

    std::int64_t integer(const std::string& name, std::int64_t fallback) const;
    double number(const std::string& name, double fallback) const;
    std::vector<std::int64_t> list(const std::string& name) const;
    bool has(const std::string& name) const { return ints.contains(name) || floats.contains(name); }
};

/// One operator computed by plain loops: what folds constants, and what a run of operators is recognised by. An absent
/// input is null. `whole` says that the elements are whole numbers. Nothing for an operator that is not known, or if
/// a result would have more than `most_elements`.
std::optional<std::vector<Array>> evaluate(const std::string& op, const std::vector<const Array*>& in,
                                           const NodeAttributes& attributes, std::size_t outputs, bool whole,
                                           std::size_t most_elements);

/// Whether evaluate() knows the operator at all.
bool can_evaluate(const std::string& op);

/// A negative axis counts from the end.
inline std::int64_t axis_of(std::int64_t axis, std::size_t rank) {
    return axis < 0 ? axis + static_cast<std::int64_t>(rank) : axis;
}

}  // namespace wb::onnx_import
