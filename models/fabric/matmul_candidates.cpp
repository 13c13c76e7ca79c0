#include "models/fabric/matmul.hpp"

namespace wb::fabric {

std::vector<float> transposed(const std::vector<float>& matrix, std::int64_t rows, std::int64_t columns) {
    std::vector<float> out(matrix.size());
    for (std::int64_t i = 0; i < rows; ++i)
        for (std::int64_t j = 0; j < columns; ++j)
            out[static_cast<std::size_t>(j * rows + i)] = matrix[static_cast<std::size_t>(i * columns + j)];
    return out;
}

Candidates matmul_candidates(const Placing& p) {
    if (p.op.in.size() > 2) return {{}, "there is no program for a product with a bias"};
    if (p.in(0).size() != 2 || p.in(1).size() != 2) return {{}, "there is no program for a batch of products"};
    const Attributes& a = p.op.attributes;
    const Product x{p.out()[0], p.in(0)[a.trans_a ? 0 : 1], p.out()[1], a.trans_a, a.trans_b};
    return x.m == 1 || x.n == 1 ? gemv_candidates(p, x) : gemm_candidates(p, x);
}

}  // namespace wb::fabric
