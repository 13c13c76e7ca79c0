#include <omp.h>

#include <algorithm>
#include <memory>

#include "kernels/cpu/gemm_engine.hpp"
#include "kernels/cpu/runner.hpp"
#include "kernels/cpu/simd.hpp"

namespace wb::cpu {
namespace {

constexpr int micro_rows = 6, micro_vectors = simd::registers == 32 ? 4 : 2;  // sums that stay in registers
constexpr std::int64_t block_rows = micro_rows, block_columns = micro_vectors * simd::width;

/// y[r, h] = x[r, h] w[h] for every row and head, `pass` columns of each head passed on.
struct Heads {
    std::int64_t rows, heads, k, n, pass;
    std::int64_t ldx() const { return heads * (k + pass); }
    std::int64_t ldy() const { return heads * (n + pass); }
};

constexpr std::int64_t few_rows = 32;  // up to here own loops: a library would turn every w for them

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

/// Every head keeps its last `pass` columns.
template <class T>
void pass_on(const Heads& s, const T* x, T* y, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::int64_t r = 0; r < s.rows; ++r)
        for (std::int64_t h = 0; h < s.heads; ++h)
            std::copy_n(x + r * s.ldx() + h * (s.k + s.pass) + s.k, s.pass, y + r * s.ldy() + h * (s.n + s.pass) + s.n);
}

/// Many rows: one product of a library after the other, each on a head's columns as they lie.
template <class T>
Runner by_library(const Heads& s, int threads) {
    GemmShape shape;
    shape.m = s.rows, shape.n = s.n, shape.k = s.k;
    const GemmType type = sizeof(T) == 2 ? GemmType::bf16 : GemmType::f32;
    const std::shared_ptr<GemmEngine> engine = make_onednn_matmul(shape, type, threads, {s.ldx(), s.ldy()});
    if (!engine) return {};
    return {[=](Operands p) {
                const T *x = input<T>(p, 0), *w = input<T>(p, 1);
                T* y = output<T>(p, 2);
                for (std::int64_t h = 0; h < s.heads; ++h)
                    engine->run(x + h * (s.k + s.pass), w + h * s.k * s.n, nullptr, y + h * (s.n + s.pass));
                pass_on(s, x, y, threads);
            },
            engine->library() + " for each head"};
}

/// Few rows: every head's w is read once.
template <class T>
Runner by_own_loops(const Heads& s, Scratch* scratch, int threads) {
    const std::int64_t k = s.k, n = s.n, ldx = s.ldx(), ldy = s.ldy();
    const std::int64_t row_panels = (s.rows + panel_rows - 1) / panel_rows,
                       column_blocks = (n + block_columns - 1) / block_columns;
    return {[=](Operands p) {
                const T *x = input<T>(p, 0), *w = input<T>(p, 1);
                T* y = output<T>(p, 2);
#pragma omp parallel for collapse(3) num_threads(threads) schedule(static)
                for (std::int64_t h = 0; h < s.heads; ++h)
                    for (std::int64_t c = 0; c < column_blocks; ++c)
                        for (std::int64_t b = 0; b < row_panels; ++b) {
                            const std::int64_t first = b * panel_rows, j = c * block_columns;
                            const T* matrix = w + h * k * n + j;
                            float* const packed = scratch->as<float>() + omp_get_thread_num() * k * block_columns;
                            const bool whole = n - j >= block_columns && s.rows - first >= block_rows;
                            if (whole) pack(matrix, n, k, packed);
                            for (std::int64_t r = first; r < std::min(first + panel_rows, s.rows); r += block_rows) {
                                const T* from = x + r * ldx + h * (k + s.pass);
                                T* to = y + r * ldy + h * (n + s.pass) + j;
                                if (whole && s.rows - r >= block_rows)
                                    block(from, ldx, packed, to, ldy, k);
                                else
                                    corner(from, ldx, matrix, n, to, ldy, std::min(block_rows, s.rows - r),
                                           std::min(block_columns, n - j), k);
                            }
                        }
                pass_on(s, x, y, threads);
            },
            {}};
}

}  // namespace

Runner make_head_matmul(const Site& site) {
    const Heads s{Site::rows(site.in(0)), site.a().heads, site.in(1).shape[1], site.in(1).shape[2],
                  site.a().rotary_dim};
    const int threads = site.threads();
    return with_type(site.out(0).dtype, [&]<class T>(T) -> Runner {
        if (s.rows > few_rows)
            if (Runner library = by_library<T>(s, threads); library.run) return library;
        site.setup.scratch.reserve(threads * s.k * block_columns * static_cast<std::int64_t>(sizeof(float)));
        return by_own_loops<T>(s, &site.setup.scratch, threads);
    });
}

}  // namespace wb::cpu
