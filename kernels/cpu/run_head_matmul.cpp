#include <algorithm>

#include "kernels/cpu/runner.hpp"

namespace wb::cpu {
namespace {

constexpr std::int64_t block_rows = 4, block_columns = 64;  // an accumulator of 4 x 64 floats stays in registers

/// y[rows <= 4, count <= 64] = x w: every element of w is read once for four rows of x.
template <class T>
void corner(const T* x, std::int64_t ldx, const T* w, std::int64_t n, T* y, std::int64_t ldy, std::int64_t rows,
            std::int64_t count, std::int64_t k) {
    float sum[block_rows][block_columns] = {};
    for (std::int64_t p = 0; p < k; ++p)
        for (std::int64_t r = 0; r < rows; ++r) {
            const float factor = to_float(x[r * ldx + p]);
#pragma omp simd
            for (std::int64_t j = 0; j < count; ++j) sum[r][j] += factor * to_float(w[p * n + j]);
        }
    for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t j = 0; j < count; ++j) y[r * ldy + j] = from_float<T>(sum[r][j]);
}

}  // namespace

Runner make_head_matmul(const Site& site) {
    const std::int64_t rows = Site::rows(site.in(0)), heads = site.a().heads, pass = site.a().rotary_dim;
    const std::int64_t k = site.in(1).shape[1], n = site.in(1).shape[2];
    const std::int64_t ldx = heads * (k + pass), ldy = heads * (n + pass);
    const std::int64_t row_blocks = (rows + block_rows - 1) / block_rows, column_blocks = (n + block_columns - 1) / block_columns;
    const int threads = site.threads();
    return with_type(site.out(0).dtype, [&]<class T>(T) -> Runner {
        return {[=](Operands p) {
                    const T *x = input<T>(p, 0), *w = input<T>(p, 1);
                    T* y = output<T>(p, 2);
#pragma omp parallel for collapse(3) num_threads(threads) schedule(static)
                    for (std::int64_t h = 0; h < heads; ++h)
                        for (std::int64_t c = 0; c < column_blocks; ++c)
                            for (std::int64_t b = 0; b < row_blocks; ++b) {
                                const std::int64_t r = b * block_rows, j = c * block_columns;
                                corner(x + r * ldx + h * (k + pass), ldx, w + h * k * n + j, n, y + r * ldy + h * (n + pass) + j,
                                       ldy, std::min(block_rows, rows - r), std::min(block_columns, n - j), k);
                            }
#pragma omp parallel for num_threads(threads) schedule(static)
                    for (std::int64_t r = 0; r < rows; ++r)
                        for (std::int64_t h = 0; h < heads; ++h)
                            std::copy_n(x + r * ldx + h * (k + pass) + k, pass, y + r * ldy + h * (n + pass) + n);
                },
                {}};
    });
}

}  // namespace wb::cpu
