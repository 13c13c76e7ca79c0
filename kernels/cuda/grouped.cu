#include "kernels/cuda/attention_tile.hpp"
#include "kernels/cuda/kernels.hpp"
#include "kernels/cuda/launch.hpp"

namespace wb::cuda {
namespace {

// Products whose rows belong to experts. How many rows each has is known on the device alone: the grid has room for
// the most tiles there can be, and the blocks that are too many end at once. Nothing waits for the host, so that a
// recorded run can choose anew.

/// The rows of block_y()'s tile: tiles are counted expert by expert, each beginning with one of its own.
template <int Rows>
struct ExpertRows {
    std::int64_t expert = 0, first = 0, rows = 0;  // rows: left of the expert from `first` on; 0: no such tile

    WB_DEVICE ExpertRows(const std::int32_t* starts, std::int64_t experts) {
        std::int64_t left = block_y();
        for (; expert < experts; ++expert) {
            const std::int64_t all = starts[expert + 1] - starts[expert], tiles = (all + Rows - 1) / Rows;
            if (left < tiles) {
                first = starts[expert] + left * Rows;
                rows = all - left * Rows;
                return;
            }
            left -= tiles;
        }
    }
};

// Without matrix units: a 64 x 64 tile, 4 x 4 a thread.
constexpr int tile = 64, depth = 16, per_thread = 4, product_threads = 256;

/// One tile of y += a b for `rows` x `columns` results of depth `k`; element (i, p) of a is a[i * a_row + p * a_step].
template <class T>
WB_DEVICE void product_tile(const T* a, std::int64_t a_row, std::int64_t a_step, const T* b, std::int64_t b_step,
                            std::int64_t b_column, T* y, std::int64_t y_row, std::int64_t rows, std::int64_t columns,
                            std::int64_t k) {
    float* const left = reinterpret_cast<float*>(shared_memory());  // [depth, tile + 1] each
    float* const right = left + depth * (tile + 1);
    const int tx = thread_index() % 16, ty = thread_index() / 16;
    float sum[per_thread][per_thread] = {};
    for (std::int64_t p0 = 0; p0 < k; p0 += depth) {
        sync_block();
        for (int i = thread_index(); i < tile * depth; i += product_threads) {
            // Neighbouring threads read neighbouring addresses, whichever way the matrix lies.
            const int ar = a_step == 1 ? i / depth : i % tile, ap = a_step == 1 ? i % depth : i / tile;
            const int bc = b_column == 1 ? i % tile : i / depth, bp = b_column == 1 ? i / tile : i % depth;
            left[ap * (tile + 1) + ar] = ar < rows && p0 + ap < k ? to_float(a[ar * a_row + (p0 + ap) * a_step]) : 0.0F;
            right[bp * (tile + 1) + bc] =
                bc < columns && p0 + bp < k ? to_float(b[(p0 + bp) * b_step + bc * b_column]) : 0.0F;
        }
        sync_block();
        for (int p = 0; p < depth; ++p) {
            float x[per_thread], w[per_thread];
            for (int i = 0; i < per_thread; ++i) {
                x[i] = left[p * (tile + 1) + ty + 16 * i];
                w[i] = right[p * (tile + 1) + tx + 16 * i];
            }
            for (int i = 0; i < per_thread; ++i)
                for (int j = 0; j < per_thread; ++j) sum[i][j] += x[i] * w[j];
        }
    }
    for (int i = 0; i < per_thread; ++i)
        for (int j = 0; j < per_thread; ++j)
            if (ty + 16 * i < rows && tx + 16 * j < columns)
                y[(ty + 16 * i) * y_row + tx + 16 * j] = from_float<T>(sum[i][j]);
}

/// Block (column tile, row tile).
template <class T>
WB_KERNEL(product_threads)
grouped_kernel(const T* x, const T* w, T* y, const std::int32_t* first, Grouped how) {
    const ExpertRows<tile> mine(first, how.experts);
    if (mine.rows == 0) return;
    const std::int64_t column = static_cast<std::int64_t>(block_x()) * tile;
    const T* const matrix = w + mine.expert * how.k * how.n;
    const std::int64_t b_step = how.transposed ? 1 : how.n, b_column = how.transposed ? how.k : 1;
    product_tile(x + mine.first * how.k, how.k, std::int64_t{1}, matrix + column * b_column, b_step, b_column,
                 y + mine.first * how.n + column, how.n, mine.rows, how.n - column, how.k);
}

/// y[e] [k, n] = (rows of x)^T (rows of w): zeros for an expert without rows.
template <class T>
WB_KERNEL(product_threads)
grouped_gradient_kernel(const T* x, const T* w, T* y, const std::int32_t* first, Grouped how) {
    const std::int64_t e = block_z(), at = first[e], rows = first[e + 1] - at;
    const std::int64_t i = static_cast<std::int64_t>(block_y()) * tile, j = static_cast<std::int64_t>(block_x()) * tile;
    product_tile(x + at * how.k + i, std::int64_t{1}, how.k, w + at * how.n + j, how.n, std::int64_t{1},
                 y + (e * how.k + i) * how.n + j, how.n, how.k - i, how.n - j, rows);
}

// On matrix units: a 128 x 128 tile in steps of 64, two by four warps of 64 x 32; the next steps arrive meanwhile.
constexpr int side = 128, step = 64, stages = 3, unit_threads = 256;
constexpr int of_stage = 2 * side * step;  // elements of both operands

/// A matrix in memory: rows `stride` elements apart; what lies outside counts as zero.
template <class T>
struct View {
    const T* at;
    std::int64_t stride, rows, columns;
};

/// The [Rows, Columns] of a view from (row, column) on; all threads of the block together.
template <int Rows, int Columns, class T>
WB_DEVICE void fetch_view(T* to, const View<T>& from, std::int64_t row, std::int64_t column) {
    constexpr int chunks = Columns / 8;
    for (int i = thread_index(); i < Rows * chunks; i += unit_threads) {
        const int r = i / chunks, chunk = i % chunks;
        const std::int64_t at_row = row + r, at_column = column + 8 * chunk;
        const bool present = at_row < from.rows && at_column < from.columns;
        copy_async(to + place<Columns>(r, chunk), present ? from.at + at_row * from.stride + at_column : from.at,
                   present);
    }
}
/// One step of an operand, whose rows run along the depth of the product or across it.
template <bool AlongDepth, class T>
WB_DEVICE void fetch_step(T* to, const View<T>& from, std::int64_t depth_at) {
    if constexpr (AlongDepth)
        fetch_view<step, side>(to, from, depth_at, 0);
    else
        fetch_view<side, step>(to, from, 0, depth_at);
}

/// c [4][4] fragments += one step of this warp's 64 x 32.
template <bool LeftAlong, bool RightAlong, class T>
WB_DEVICE void multiply_step(float (&c)[4][4][4], const T* left, const T* right) {
    const int quarter = lane_index() / 8, within = lane_index() % 8;
    const int row = warp_index() / 4 * 64, column = warp_index() % 4 * 32;
    WB_UNROLL
    for (int k = 0; k < step / 16; ++k) {
        std::uint32_t a[4][4], b[2][4];
        WB_UNROLL
        for (int i = 0; i < 4; ++i)
            if constexpr (LeftAlong)
                load_matrices_transposed(
                    a[i], left + place<side>(16 * k + quarter / 2 * 8 + within, (row + 16 * i) / 8 + quarter % 2));
            else
                load_matrices(a[i], left + place<step>(row + 16 * i + quarter % 2 * 8 + within, 2 * k + quarter / 2));
        WB_UNROLL
        for (int j = 0; j < 2; ++j)
            if constexpr (RightAlong)
                load_matrices_transposed(
                    b[j], right + place<side>(16 * k + quarter % 2 * 8 + within, (column + 16 * j) / 8 + quarter / 2));
            else
                load_matrices(b[j],
                              right + place<step>(column + 16 * j + quarter / 2 * 8 + within, 2 * k + quarter % 2));
        WB_UNROLL
        for (int i = 0; i < 4; ++i)
            for (int j = 0; j < 4; ++j) multiply_add<T>(c[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
    }
}

/// y [rows, columns] = the product over `depth`, of at most one tile.
template <bool LeftAlong, bool RightAlong, class T>
WB_DEVICE void unit_tile(const View<T>& left, const View<T>& right, std::int64_t depth_all, T* y, std::int64_t y_row,
                         std::int64_t rows, std::int64_t columns) {
    T* const tiles = reinterpret_cast<T*>(shared_memory());
    const std::int64_t steps = (depth_all + step - 1) / step;
    const auto fetch_both = [&](std::int64_t i) {
        T* const to = tiles + i % stages * of_stage;
        if (i < steps) {
            fetch_step<LeftAlong>(to, left, i * step);
            fetch_step<RightAlong>(to + side * step, right, i * step);
        }
        copies_end_group();
    };
    for (int i = 0; i + 1 < stages; ++i) fetch_both(i);
    float c[4][4][4] = {};
    for (std::int64_t i = 0; i < steps; ++i) {
        copies_wait<stages - 2>();
        sync_block();  // step i is there, and nobody reads the stage of step i - 1 any more
        fetch_both(i + stages - 1);
        const T* const at = tiles + i % stages * of_stage;
        multiply_step<LeftAlong, RightAlong>(c, at, at + side * step);
    }
    copies_wait<0>();
    WB_UNROLL
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j)
            for (int half = 0; half < 2; ++half) {
                const std::int64_t row = warp_index() / 4 * 64 + 16 * i + lane_index() / 4 + 8 * half;
                const std::int64_t column = warp_index() % 4 * 32 + 8 * j + 2 * (lane_index() % 4);
                if (row < rows && column < columns)
                    *reinterpret_cast<std::uint32_t*>(y + row * y_row + column) =
                        two_of<T>(c[i][j][2 * half], c[i][j][2 * half + 1]);
            }
}

template <class T, bool Transposed>
WB_KERNEL(unit_threads)
grouped_unit_kernel(const T* x, const T* w, T* y, const std::int32_t* first, Grouped how) {
    const ExpertRows<side> mine(first, how.experts);
    if (mine.rows == 0) return;
    const std::int64_t column = static_cast<std::int64_t>(block_x()) * side, columns = how.n - column;
    const T* const matrix = w + mine.expert * how.k * how.n;
    const View<T> left{x + mine.first * how.k, how.k, mine.rows, how.k};
    const View<T> right = Transposed ? View<T>{matrix + column * how.k, how.k, columns, how.k}
                                     : View<T>{matrix + column, how.n, how.k, columns};
    unit_tile<false, !Transposed>(left, right, how.k, y + mine.first * how.n + column, how.n, mine.rows, columns);
}

template <class T>
WB_KERNEL(unit_threads)
grouped_unit_gradient_kernel(const T* x, const T* w, T* y, const std::int32_t* first, Grouped how) {
    const std::int64_t e = block_z(), at = first[e], rows = first[e + 1] - at;
    const std::int64_t i = static_cast<std::int64_t>(block_y()) * side, j = static_cast<std::int64_t>(block_x()) * side;
    const View<T> left{x + at * how.k + i, how.k, rows, how.k - i}, right{w + at * how.n + j, how.n, rows, how.n - j};
    unit_tile<true, true>(left, right, rows, y + (e * how.k + i) * how.n + j, how.n, how.k - i, how.n - j);
}

std::int64_t tiles_of(std::int64_t n, std::int64_t each) { return (n + each - 1) / each; }
std::int64_t most_row_tiles(const Grouped& how, std::int64_t each) {
    return std::min(how.rows, tiles_of(how.rows, each) + how.experts);
}

}  // namespace

bool has_grouped_units(DType type, const Grouped& how, const Device& device) {
    // Of less than a tile most would be zeros.
    return is_unit_type(type) && how.k % 8 == 0 && how.n % 8 == 0 && how.k >= side && how.n >= side &&
           static_cast<std::int64_t>(stages * of_stage * sizeof(bf16)) <= device.shared_bytes;
}

void grouped_product_units(Stream stream, DType type, const void* x, const void* w, void* y, const std::int32_t* first,
                           const Grouped& how) {
    with_unit_type(type, [&]<class T>(T) {
        const auto run = [&](const Grid& grid, auto kernel) {
            launch(stream, grid, unit_threads, stages * of_stage * sizeof(T), kernel, static_cast<const T*>(x),
                   static_cast<const T*>(w), static_cast<T*>(y), first, how);
        };
        const Grid of_rows{tiles_of(how.n, side), most_row_tiles(how, side), 1};
        if (how.gradient) return run({of_rows.x, tiles_of(how.k, side), how.experts}, grouped_unit_gradient_kernel<T>);
        how.transposed ? run(of_rows, grouped_unit_kernel<T, true>) : run(of_rows, grouped_unit_kernel<T, false>);
    });
}

void grouped_product(Stream stream, DType type, const void* x, const void* w, void* y, const std::int32_t* first,
                     const Grouped& how) {
    const std::size_t shared = 2 * depth * (tile + 1) * sizeof(float);
    with_type(type, [&]<class T>(T) {
        const auto run = [&](const Grid& grid, auto kernel) {
            launch(stream, grid, product_threads, shared, kernel, static_cast<const T*>(x), static_cast<const T*>(w),
                   static_cast<T*>(y), first, how);
        };
        const Grid of_rows{tiles_of(how.n, tile), most_row_tiles(how, tile), 1};
        if (how.gradient)
            run({of_rows.x, tiles_of(how.k, tile), how.experts}, grouped_gradient_kernel<T>);
        else
            run(of_rows, grouped_kernel<T>);
    });
}

}  // namespace wb::cuda
