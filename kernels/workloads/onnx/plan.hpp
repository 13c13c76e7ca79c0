#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/graph.hpp"
#include "kernels/workloads/onnx/imported.hpp"

namespace wb::onnx_import {

/// What an ONNX graph computes in the operators of this program, one after the other, before layers are folded.
struct Plan {
    struct Tensor {
        std::string name;
        Role role = Role::activation;
        Shape shape;
        double vocabulary = 0;  ///< of an input of numbers: how many there are
        int producer = -1;      ///< op
    };
    struct Op {
        OpKind kind;
        std::string name;
        std::vector<int> in;
        int out = -1;  ///< the first output; the others are not used
        Attributes attributes;
    };
    std::vector<Tensor> tensors;
    std::vector<Op> ops;
};

/// Translates a graph whose runs have been recognised. Throws one Error that lists every operator that has no
/// counterpart, by name and count, with `path` as its place.
Plan translate(const Imported& graph, const Sizes& sizes, const std::string& path);

/// A graph of the plan, equal layers folded into one that repeats; `layers` > 0 keeps that many of them.
Graph emit(const Plan& plan, DType dtype, std::int64_t layers);

}  // namespace wb::onnx_import
