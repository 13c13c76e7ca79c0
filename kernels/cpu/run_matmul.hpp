#pragma once

#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/runner.hpp"

namespace wb::cpu {

/// Of f64, f32 or bf16.
GemmType product_type(DType type);
/// What a matmul op asks of a library.
GemmShape product_shape(const Site& site);

}  // namespace wb::cpu
