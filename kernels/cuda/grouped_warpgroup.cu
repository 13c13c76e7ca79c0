#include "kernels/cuda/grouped.hpp"
#include "kernels/cuda/launch.hpp"
#include "kernels/cuda/warpgroup.hpp"

namespace wb::cuda {
namespace {

// A block: 128 x 256 results, 64 rows for each of two computing warpgroups, in steps of 64 of the depth; a third
// warpgroup fetches the next steps by bulk copies.
constexpr int rows = 128, columns = 256, step = 64, stages = 4;
constexpr int threads = 3 * warpgroup_threads, computing = 2 * warpgroup_threads;
constexpr int of_left = rows * step * 2, of_right = columns * step * 2, panel = step * panel_row_bytes;

struct Barriers {
    PhaseBarrier full[stages], empty[stages];
};
constexpr std::size_t shared_bytes_of_grouped = stages * (of_left + of_right) + sizeof(Barriers);

WB_DEVICE unsigned char* left_of(int i) { return shared_memory() + i % stages * (of_left + of_right); }
WB_DEVICE unsigned char* right_of(int i) { return left_of(i) + of_left; }
WB_DEVICE Barriers& barriers() { return *reinterpret_cast<Barriers*>(shared_memory() + stages * (of_left + of_right)); }
WB_DEVICE int parity_of(int i) { return i / stages % 2; }

/// What a block computes: where its operands begin in their tensors, and how deep the product is.
struct Part {
    int left_row, left_column, expert, right_row, right_column;
    std::int64_t depth;
    WB_DEVICE int steps() const { return static_cast<int>((depth + step - 1) / step); }
};

/// One thread. LeftAlong, RightAlong: the operand's rows run along the depth.
template <bool LeftAlong, bool RightAlong>
WB_DEVICE void fetch_all(const TensorMap& left, const TensorMap& right, const Part& p) {
    Barriers& b = barriers();
    for (int i = 0; i < p.steps(); ++i) {
        PhaseBarrier* const full = &b.full[i % stages];
        const int at = i * step;
        barrier_wait(&b.empty[i % stages], 1 - parity_of(i));
        barrier_expect(full, of_left + of_right);
        if (LeftAlong)
            for (int c = 0; c < rows / panel_columns; ++c)
                copy_box(left_of(i) + c * panel, left, p.left_column + c * panel_columns, p.left_row + at, 0, 0, full);
        else
            copy_box(left_of(i), left, p.left_column + at, p.left_row, 0, 0, full);
        if (RightAlong)
            for (int c = 0; c < columns / panel_columns; ++c)
                copy_box(right_of(i) + c * panel, right, p.right_column + c * panel_columns, p.right_row + at, p.expert,
                         0, full);
        else
            copy_box(right_of(i), right, p.right_column + at, p.right_row, p.expert, 0, full);
    }
}

/// Rows of the depth past its end belong to the next expert: zeros in their place.
WB_DEVICE void clear_past(int i, std::int64_t depth) {
    constexpr int chunks = panel_row_bytes / 16, panels = (of_left + of_right) / panel;
    const int first = static_cast<int>(depth - i * step);
    for (int c = thread_index() - warpgroup_threads; c < (step - first) * panels * chunks; c += computing)
        put(left_of(i) + c / chunks % panels * panel + (first + c / chunks / panels) * panel_row_bytes +
                c % chunks * 16,
            Pack<float, 4>{{0, 0, 0, 0}});
    units_fence();
    sync_some(1, computing);
}

/// y rows [0, left) and columns [0, wide) of the block's tile.
template <bool LeftAlong, bool RightAlong, class T>
WB_DEVICE void compute(const Part& p, T* y, std::int64_t y_row, std::int64_t left, std::int64_t wide) {
    Barriers& b = barriers();
    const int group = thread_index() / warpgroup_threads - 1;
    float c[columns / 8][4] = {};
    const auto release = [&](int i) {
        sync_warp();
        if (lane_index() == 0) barrier_arrive(&b.empty[i % stages]);
    };
    for (int i = 0; i < p.steps(); ++i) {
        barrier_wait(&b.full[i % stages], parity_of(i));
        if (LeftAlong && (i + 1) * step > p.depth) clear_past(i, p.depth);
        const unsigned char* const own = left_of(i) + group * of_left / 2;  // 64 rows, or a panel of 64 columns
        const std::uint64_t a = LeftAlong ? columns_descriptor(own, panel) : rows_descriptor(own);
        const std::uint64_t x = RightAlong ? columns_descriptor(right_of(i), panel) : rows_descriptor(right_of(i));
        products_fence();
        WB_UNROLL
        for (int k = 0; k < step / 16; ++k)
            multiply_shared<T, columns, LeftAlong, RightAlong>(
                c, advanced(a, LeftAlong ? 2 * k * panel_group_bytes : 32 * k),
                advanced(x, RightAlong ? 2 * k * panel_group_bytes : 32 * k), true);
        products_end_group();
        products_wait<1>();
        if (i > 0) release(i - 1);
    }
    products_wait<0>();
    products_settled(c);
    for (int half = 0; half < 2; ++half) {
        const int row = 64 * group + 16 * (warp_index() % 4) + lane_index() / 4 + 8 * half;
        if (row >= left) continue;
        auto* const to = reinterpret_cast<std::uint32_t*>(y + row * y_row) + lane_index() % 4;
        WB_UNROLL
        for (int n = 0; n < columns / 8; ++n)
            if (8 * n < wide) to[4 * n] = two_of<T>(c[n][2 * half], c[n][2 * half + 1]);
    }
}

template <bool LeftAlong, bool RightAlong, class T>
WB_DEVICE void play_part(const TensorMap& left, const TensorMap& right, const Part& p, T* y, std::int64_t y_row,
                         std::int64_t past_row, std::int64_t past_column) {
    if (thread_index() == 0) {
        for (int s = 0; s < stages; ++s) {
            barrier_begin(&barriers().full[s], 1);
            barrier_begin(&barriers().empty[s], computing / warp_threads);
        }
        all_barriers_begun();
    }
    sync_block();
    if (thread_index() < warpgroup_threads) {
        registers_fewer<24>();
        if (thread_index() == 0) fetch_all<LeftAlong, RightAlong>(left, right, p);
    } else {
        registers_more<240>();
        compute<LeftAlong, RightAlong>(p, y, y_row, past_row, past_column);
    }
}

template <class T, bool Transposed>
WB_KERNEL(threads)
grouped_warpgroup_kernel(WB_CONSTANT_PARAMETER TensorMap x, WB_CONSTANT_PARAMETER TensorMap w, T* y,
                         const std::int32_t* first, Grouped how) {
    const ExpertRows<rows> mine(first, how.experts);
    if (mine.rows == 0) return;
    const int column = block_x() * columns;
    const Part part{static_cast<int>(mine.first), 0,    static_cast<int>(mine.expert), Transposed ? column : 0,
                    Transposed ? 0 : column,      how.k};
    play_part<false, !Transposed>(x, w, part, y + mine.first * how.n + column, how.n, mine.rows, how.n - column);
}

/// y[e] [k, n] = (rows of x)^T (rows of w): zeros for an expert without rows.
template <class T>
WB_KERNEL(threads)
grouped_warpgroup_gradient_kernel(WB_CONSTANT_PARAMETER TensorMap x, WB_CONSTANT_PARAMETER TensorMap w, T* y,
                                  const std::int32_t* first, Grouped how) {
    const std::int64_t e = block_z();
    const int at = first[e], i = block_y() * rows, j = block_x() * columns;
    const Part part{at, i, 0, at, j, first[e + 1] - at};
    play_part<true, true>(x, w, part, y + (e * how.k + i) * how.n + j, how.n, how.k - i, how.n - j);
}

/// Boxes of `box_rows` rows of 64 columns.
TensorMap boxes(const void* base, std::int64_t wide, std::int64_t high, std::int64_t experts, int box_rows) {
    return tensor_map(base, {{wide, high, experts, 1},
                             {wide * 2, wide * high * 2, wide * high * experts * 2},
                             {panel_columns, box_rows, 1, 1}});
}

}  // namespace

bool has_grouped_warpgroup(DType type, const Grouped& how, const Device& device) {
    constexpr std::int64_t most = 1 << 30;  // rows and columns are counted in int
    return device.major == 9 && device.minor == 0 && is_unit_type(type) && how.k % 8 == 0 && how.n % 8 == 0 &&
           how.k >= rows && how.n >= columns && how.rows < most && how.k < most && how.n < most;
}

void grouped_product_warpgroup(Stream stream, DType type, const void* x, const void* w, void* y,
                               const std::int32_t* first, const Grouped& how) {
    with_unit_type(type, [&]<class T>(T) {
        const auto run = [&](std::int64_t high, std::int64_t deep, const TensorMap& left, const TensorMap& right,
                             auto kernel) {
            launch(stream, {tiles_of(how.n, columns), high, deep}, threads, shared_bytes_of_grouped, kernel, left,
                   right, static_cast<T*>(y), first, how);
        };
        if (how.gradient)
            return run(tiles_of(how.k, rows), how.experts, boxes(x, how.k, how.rows, 1, step),
                       boxes(w, how.n, how.rows, 1, step), grouped_warpgroup_gradient_kernel<T>);
        const TensorMap left = boxes(x, how.k, how.rows, 1, rows);
        const std::int64_t high = most_row_tiles(how, rows);
        how.transposed
            ? run(high, 1, left, boxes(w, how.k, how.n, how.experts, columns), grouped_warpgroup_kernel<T, true>)
            : run(high, 1, left, boxes(w, how.n, how.k, how.experts, step), grouped_warpgroup_kernel<T, false>);
    });
}

}  // namespace wb::cuda
