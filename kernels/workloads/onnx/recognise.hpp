#pragma once

#include "kernels/workloads/onnx/imported.hpp"

namespace wb::onnx_import {

/// Names of the nodes that stand for a recognised run of operators; with the attributes the graph's operator needs.
inline constexpr const char* gelu_node = "(gelu)";            ///< x; ints: tanh
inline constexpr const char* silu_node = "(silu)";            ///< x
inline constexpr const char* layernorm_node = "(layernorm)";  ///< x, scale, shift (-1: none); floats: eps
inline constexpr const char* rmsnorm_node = "(rmsnorm)";      ///< x, scale (-1: none); floats: eps
inline constexpr const char* rope_node = "(rope)";            ///< x; floats: theta; ints: dim, interleaved, first

/// Exporters write GELU, SiLU, the norms and the turning of positions as runs of elementary operators, each in its own
/// way. A run is known here by what it computes, not by how it is written: it is evaluated on random numbers and
/// compared with the formula. Each one found becomes a single node.
void recognise(Imported& graph, std::int64_t past);

}  // namespace wb::onnx_import
