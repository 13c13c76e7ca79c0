#pragma once

#include <vector>

#include "models/fabric/candidate.hpp"

namespace wb::fabric {

/// C[m, n] = A[m, k] B[k, n], and how the graph stores its operands.
struct Product {
    std::int64_t m = 1, k = 1, n = 1;
    bool trans_a = false, trans_b = false;  ///< A is stored [k, m], B is stored [n, k]
};

/// Of a row-major matrix.
std::vector<float> transposed(const std::vector<float>& matrix, std::int64_t rows, std::int64_t columns);

/// Products in which m or n is 1.
Candidates gemv_candidates(const Placing& p, const Product& x);
/// All others.
Candidates gemm_candidates(const Placing& p, const Product& x);

}  // namespace wb::fabric
