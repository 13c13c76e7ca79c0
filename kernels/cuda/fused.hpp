#pragma once

#include <string>
#include <vector>

#include "core/fusion.hpp"
#include "kernels/cuda/runner.hpp"

namespace wb::cuda {

/// The ops of setup.graph that are computed in the epilogue of a product: those for which the library has an algorithm
/// that its trial found no slower than product and own kernels one after the other.
FusedOps fuse_products(const Setup& setup);

/// A product with its epilogue, and what its operands are.
struct FusedRunner {
    Runner runner;
    std::vector<TensorId> operands;
};
FusedRunner make_fused(const Setup& setup, const Fusion& fusion);

/// "in the products: 12 gelu, 24 add", every execution of a run counted; empty if there are none.
std::string text_of(const FusedOps& fused, const Graph& graph);

}  // namespace wb::cuda
