#include <omp.h>

#include <algorithm>

#include "kernels/cpu/runner.hpp"
#include "kernels/cpu/simd.hpp"

namespace wb::cpu {
namespace {

constexpr int micro_rows = 6, micro_vectors = simd::registers == 32 ? 4 : 2;  // sums that stay in registers
constexpr std::int64_t block_rows = micro_rows, block_columns = micro_vectors * simd::width;

/// Rows that share one packed panel of w: enough to be worth the copy.
constexpr std::int64_t panel_rows = 32 * block_rows;

/// to[k, block_columns] = w[k, n]: rows of w lie a power of two apart, which few sets of a cache would have to hold.
template <class T>
void pack(const T* w, std::int64_t n, std::int64_t k, float* to) {
    for (std::int64_t p = 0; p < k; ++p)
#pragma omp simd
        for (std::int64_t j = 0; j < block_columns; ++j) to[p * block_columns + j] = to_float(w[p * n + j]);
}

/// y[block_rows, block_columns] = x w, w packed: every element of w is read once for all rows of x.
template <class T>
void block(const T* x, std::int64_t ldx, const float* w, T* y, std::int64_t ldy, std::int64_t k) {
    simd::Vec sum[micro_rows][micro_vectors] = {};
    for (std::int64_t p = 0; p < k; ++p) {
        simd::Vec row[micro_vectors];
        simd::repeat<micro_vectors>([&](auto v) {
            row[v] = simd::load(w + p * block_columns + v * simd::width);
            simd::pin(row[v]);
        });
        simd::repeat<micro_rows>([&](auto r) {
            const simd::Vec factor = simd::broadcast(to_float(x[r * ldx + p]));
            simd::repeat<micro_vectors>([&](auto v) { sum[r][v] += factor * row[v]; });
        });
    }
    float out[block_columns];
    simd::repeat<micro_rows>([&](auto r) {
        simd::repeat<micro_vectors>([&](auto v) { simd::store(out + v * simd::width, sum[r][v]); });
#pragma omp simd
        for (std::int64_t j = 0; j < block_columns; ++j) y[r * ldy + j] = from_float<T>(out[j]);
    });
}

/// The same of what is left at the edges: rows <= block_rows, count <= block_columns.
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
    const std::int64_t row_panels = (rows + panel_rows - 1) / panel_rows,
                       column_blocks = (n + block_columns - 1) / block_columns;
    const int threads = site.threads();
    Scratch* const scratch = &site.setup.scratch;
    scratch->reserve(threads * k * block_columns * static_cast<std::int64_t>(sizeof(float)));
    return with_type(site.out(0).dtype, [&]<class T>(T) -> Runner {
        return {[=](Operands p) {
                    const T *x = input<T>(p, 0), *w = input<T>(p, 1);
                    T* y = output<T>(p, 2);
#pragma omp parallel for collapse(3) num_threads(threads) schedule(static)
                    for (std::int64_t h = 0; h < heads; ++h)
                        for (std::int64_t c = 0; c < column_blocks; ++c)
                            for (std::int64_t b = 0; b < row_panels; ++b) {
                                const std::int64_t first = b * panel_rows, j = c * block_columns;
                                const T* matrix = w + h * k * n + j;
                                float* const packed = scratch->as<float>() + omp_get_thread_num() * k * block_columns;
                                const bool whole = n - j >= block_columns && rows - first >= block_rows;
                                if (whole) pack(matrix, n, k, packed);
                                for (std::int64_t r = first; r < std::min(first + panel_rows, rows); r += block_rows) {
                                    const T* from = x + r * ldx + h * (k + pass);
                                    T* to = y + r * ldy + h * (n + pass) + j;
                                    if (whole && rows - r >= block_rows)
                                        block(from, ldx, packed, to, ldy, k);
                                    else
                                        corner(from, ldx, matrix, n, to, ldy, std::min(block_rows, rows - r),
                                               std::min(block_columns, n - j), k);
                                }
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
