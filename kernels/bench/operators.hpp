#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/graph.hpp"

namespace wb::cpu {

/// One operator at a size that no cache holds.
struct Operator {
    OpKind kind;
    std::string name;
    std::shared_ptr<const Graph> graph;  ///< of this op alone
    double bytes = 0;                    ///< it must read and write, each once
    double matmul_flops = 0, flops = 0;  ///< by matrix units, and all
};

/// Every operator of the graphs that computes or copies in a rank, some in several shapes, in f32 or bf16.
std::vector<Operator> operators(DType type);

/// Kinds of op that operators() leaves out although a rank computes them; what moves between ranks (ranks_bench) and
/// storage (harness_bench) is no business of it.
std::vector<OpKind> without_operator();

}  // namespace wb::cpu
