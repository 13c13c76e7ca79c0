#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/workloads/onnx/array.hpp"

namespace wb::onnx_import {

/// A value of an ONNX graph, its shape known.
struct Value {
    std::string name;
    Shape shape;
    bool floating = false, typed = false;
    bool weight = false;         ///< an initialiser of floating type: trained
    bool input = false;          ///< given at run time
    bool output = false;         ///< of the graph
    std::optional<Array> known;  ///< its elements, if they follow from file and sizes alone
    int producer = -1;           ///< node; -1: none, or folded
    std::vector<int> users;      ///< nodes, each once for each use
};

/// A node that remains after everything known was folded.
struct Node {
    std::string op, name, domain;
    std::vector<int> in;  ///< values; -1: absent
    std::vector<int> out;
    NodeAttributes attributes;
    bool gone = false;  ///< taken up into a recognised run of operators
};

/// An ONNX graph with all sizes bound and all arithmetic on constants done.
struct Imported {
    std::vector<Value> values;
    std::vector<Node> nodes;  ///< each after those it reads from
    std::vector<int> inputs, outputs;
    std::int64_t opset = 0;
    std::string producer;  ///< the program that wrote the file
    std::int64_t nodes_in_file = 0;

    const Value& value(int i) const { return values[static_cast<std::size_t>(i)]; }
    Value& value(int i) { return values[static_cast<std::size_t>(i)]; }
    /// The elements of an input of a node, if known.
    const Array* known(const Node& node, std::size_t i) const {
        if (i >= node.in.size() || node.in[i] < 0) return nullptr;
        const auto& k = value(node.in[i]).known;
        return k ? &*k : nullptr;
    }
};

/// What the free dimensions of a file's inputs are to be.
struct Sizes {
    std::int64_t batch = 0;  ///< 0: as the file says, else 1
    std::int64_t seq = 0;    ///< 0: as the file says, else 128
    std::int64_t past = 0;   ///< tokens already in the cache
    bool flexible = false;   ///< where the file fixes another size, take the file's
};

/// Reads a file, binds its sizes, infers all shapes by the ONNX library's own rules and folds what is known. Inputs
/// that say which tokens count (masks) are taken for all ones, inputs of positions for 0, 1, 2, ... Throws Error for a
/// file that is none, a dimension nobody named, and a shape that cannot be inferred.
Imported load(const std::string& path, const Sizes& sizes);

}  // namespace wb::onnx_import
