#pragma once

#include "kernels/cuda/attention_tile.hpp"
#include "kernels/cuda/warpgroup.hpp"

namespace wb::cuda {

// What attention forward and backward by warpgroups share: tiles of rows in shared memory, fetched by bulk copies, and
// products of them.

/// Rows of one head, as the box of them that one copy takes.
template <int D>
TensorMap map_of(const void* base, std::int64_t batch, std::int64_t seq, std::int64_t heads, int rows) {
    const std::int64_t token = heads * D * 2;
    return tensor_map(base, {{D, heads, seq, batch}, {D * 2, token, seq * token}, {panel_columns, 1, rows, 1}});
}

/// A tile of rows from `row` on; its barrier waits for `more` bytes besides.
template <int D, int Rows>
WB_DEVICE void fetch_panels(unsigned char* to, const TensorMap& from, int head, int row, int batch, PhaseBarrier* full,
                            int more = 0) {
    barrier_expect(full, Rows * D * 2 + more);
    for (int p = 0; p < D / panel_columns; ++p)
        copy_box(to + p * Rows * panel_row_bytes, from, p * panel_columns, head, row, batch, full);
}

/// Each warp for itself: its products with these rows are done.
WB_DEVICE void release(PhaseBarrier* empty) {
    sync_warp();
    if (lane_index() == 0) barrier_arrive(empty);
}

/// s = 64 rows of tile a times N rows of tile b, dot products of rows of D; a group of products of its own. The tiles
/// are of RowsA and RowsB rows.
template <class T, int D, int RowsA, int RowsB, int N>
WB_DEVICE void start_scores(float (&s)[N / 8][4], const unsigned char* a, const unsigned char* b) {
    const std::uint64_t left = rows_descriptor(a), right = rows_descriptor(b);
    products_fence();
    WB_UNROLL
    for (int i = 0; i < D / 16; ++i) {
        const int panel = i / 4, within = i % 4 * 32;
        multiply_shared<T, N>(s, advanced(left, panel * RowsA * panel_row_bytes + within),
                              advanced(right, panel * RowsB * panel_row_bytes + within), i > 0);
    }
    products_end_group();
}

/// o += p times a tile of K rows of N.
template <class T, int N, int K>
WB_DEVICE void start_sums(float (&o)[N / 8][4], const std::uint32_t (&p)[K / 16][4], const unsigned char* tile) {
    const std::uint64_t rows = columns_descriptor(tile, K * panel_row_bytes);
    products_fence();
    WB_UNROLL
    for (int i = 0; i < K / 16; ++i) multiply_registers<T, N>(o, p[i], advanced(rows, 2 * i * panel_group_bytes), true);
    products_end_group();
}

/// Weights as the left matrix of a product: a fragment of results is one of 16 columns of it.
template <class T, int N>
WB_DEVICE void round_weights(std::uint32_t (&p)[N / 16][4], const float (&s)[N / 8][4]) {
    WB_UNROLL
    for (int i = 0; i < N / 16; ++i)
        for (int e = 0; e < 4; ++e) p[i][e] = two_of<T>(s[2 * i + e / 2][e % 2 * 2], s[2 * i + e / 2][e % 2 * 2 + 1]);
}

}  // namespace wb::cuda
