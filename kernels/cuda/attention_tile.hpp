#pragma once

#include <limits>

#include "kernels/cuda/attention.hpp"
#include "kernels/cuda/simt.hpp"

namespace wb::cuda {

// Tiles of rows of D bf16 or f16 in shared memory, and the two products of attention on them. A warp owns 16 rows of
// results; a fragment of results is [16, 8]: a thread holds of rows lane / 4 and lane / 4 + 8 the columns 2 (lane % 4)
// and the next (PTX ISA, mma.m16n8k16).

constexpr float log2_e = 1.44269504088896341F, ln_2 = 0.69314718055994531F;
constexpr float nothing = -std::numeric_limits<float>::infinity();

/// Keys [first, past) that any of the queries [query, query + rows) sees, `first` on a tile's boundary.
template <int Keys>
struct KeyTiles {
    std::int64_t first, count;
    WB_DEVICE KeyTiles(std::int64_t query, std::int64_t rows, const Attention& a) {
        const std::int64_t end = query + rows < a.seq ? query + rows : a.seq;
        first = a.first_key(query) / Keys * Keys;
        const std::int64_t past = a.last_key(end - 1);
        count = past > first ? (past - first + Keys - 1) / Keys : 0;
    }
};

/// Queries [first, past) that see any of the keys [key, key + rows).
template <int Queries>
struct QueryTiles {
    std::int64_t first = 0, count;
    WB_DEVICE QueryTiles(std::int64_t key, std::int64_t rows, const Attention& a) {
        const std::int64_t end = key + rows < a.seq_kv ? key + rows : a.seq_kv, shift = a.seq - a.seq_kv;
        std::int64_t past = a.seq;
        if (a.causal || a.window > 0) first = key + shift > 0 ? key + shift : 0;
        if (a.window > 0 && end - 1 + shift + a.window < past) past = end - 1 + shift + a.window;
        first = first / Queries * Queries;
        count = past > first ? (past - first + Queries - 1) / Queries : 0;
    }
};

/// Where 8 neighbours of a row lie: turned by row, so that 8 rows of one column are in 32 different banks.
template <int D>
WB_DEVICE int place(int row, int chunk) {
    return row * D + ((chunk ^ (row & 7)) * 8);
}

/// Rows [first, first + Rows) of one head, zeros from `limit` >= 1 on; `thread` of Threads that do it together.
template <int D, int Rows, int Threads, class T>
WB_DEVICE void fetch(T* tile, const T* from, std::int64_t stride, std::int64_t first, std::int64_t limit,
                     int thread = thread_index()) {
    constexpr int chunks = D / 8;
    for (int i = thread; i < Rows * chunks; i += Threads) {
        const int row = i / chunks, chunk = i % chunks;
        const bool present = first + row < limit;
        copy_async(tile + place<D>(row, chunk), from + (present ? first + row : 0) * stride + chunk * 8, present);
    }
}

/// c [16, N] += rows [row, row + 16) of a times the N rows of b: each result is the dot product of two rows.
template <int D, int N, class T>
WB_DEVICE void multiply_rows(float (&c)[N / 8][4], const T* a, int row, const T* b) {
    const int quarter = lane_index() / 8, within = lane_index() % 8;
    for (int k = 0; k < D / 16; ++k) {
        std::uint32_t left[4], right[4];
        load_matrices(left, a + place<D>(row + quarter % 2 * 8 + within, 2 * k + quarter / 2));
        for (int n = 0; n < N / 16; ++n) {
            load_matrices(right, b + place<D>(16 * n + quarter / 2 * 8 + within, 2 * k + quarter % 2));
            multiply_add<T>(c[2 * n], left, right[0], right[1]);
            multiply_add<T>(c[2 * n + 1], left, right[2], right[3]);
        }
    }
}

/// c [16, D] += w [16, K] b, with w rounded as b is and b the K rows of a tile: a weighted sum of rows.
template <int D, int K, class T>
WB_DEVICE void add_weighted(float (&c)[D / 8][4], const float (&w)[K / 8][4], const T* b) {
    const int quarter = lane_index() / 8, within = lane_index() % 8;
    for (int k = 0; k < K / 16; ++k) {
        const std::uint32_t left[4] = {two_of<T>(w[2 * k][0], w[2 * k][1]), two_of<T>(w[2 * k][2], w[2 * k][3]),
                                       two_of<T>(w[2 * k + 1][0], w[2 * k + 1][1]),
                                       two_of<T>(w[2 * k + 1][2], w[2 * k + 1][3])};
        std::uint32_t right[4];
        for (int n = 0; n < D / 16; ++n) {
            load_matrices_transposed(right, b + place<D>(16 * k + quarter % 2 * 8 + within, 2 * n + quarter / 2));
            multiply_add<T>(c[2 * n], left, right[0], right[1]);
            multiply_add<T>(c[2 * n + 1], left, right[2], right[3]);
        }
    }
}

/// A warp's results times a factor for each of the two rows of a thread, to rows [first, limit) of one head.
template <int D, class T>
WB_DEVICE void write_rows(T* to, std::int64_t stride, std::int64_t first, std::int64_t limit,
                          const float (&c)[D / 8][4], const float (&factor)[2]) {
    for (int half = 0; half < 2; ++half) {
        const std::int64_t row = first + lane_index() / 4 + 8 * half;
        if (row >= limit) continue;
        auto* const at = reinterpret_cast<std::uint32_t*>(to + row * stride);
        for (int n = 0; n < D / 8; ++n)
            at[4 * n + lane_index() % 4] = two_of<T>(c[n][2 * half] * factor[half], c[n][2 * half + 1] * factor[half]);
    }
}

/// Of the four threads that share a row.
WB_DEVICE float row_max(float x) {
    x = fmaxf(x, shuffle_xor(x, 1));
    return fmaxf(x, shuffle_xor(x, 2));
}
WB_DEVICE float row_sum(float x) {
    x += shuffle_xor(x, 1);
    return x + shuffle_xor(x, 2);
}

/// The keys that the two rows of a thread see; none of rows past the end.
struct Sight {
    std::int64_t first[2] = {0, 0}, last[2] = {0, 0};
    Sight() = default;
    WB_DEVICE Sight(std::int64_t row, const Attention& a) {
        for (int half = 0; half < 2; ++half) {
            const std::int64_t i = row + 8 * half;
            first[half] = i < a.seq ? a.first_key(i) : 0;
            last[half] = i < a.seq ? a.last_key(i) : 0;
        }
    }
    WB_DEVICE bool sees(int half, std::int64_t key) const { return key >= first[half] && key < last[half]; }
};

/// One step of the online softmax: scores become weights, what was summed before shrinks to the new maximum.
template <int D, int Keys>
WB_DEVICE void soften(float (&s)[Keys / 8][4], float (&o)[D / 8][4], float (&largest)[2], float (&sum)[2],
                      const Sight& sight, std::int64_t first_key, float scale) {
    for (int half = 0; half < 2; ++half) {
        float now = largest[half];
        for (int n = 0; n < Keys / 8; ++n)
            for (int e = 2 * half; e < 2 * half + 2; ++e) {
                const std::int64_t key = first_key + 8 * n + 2 * (lane_index() % 4) + e % 2;
                s[n][e] = sight.sees(half, key) ? s[n][e] * scale : nothing;
                now = fmaxf(now, s[n][e]);
            }
        now = row_max(now);
        const float base = now == nothing ? 0.0F : now, shrink = exp2_of(largest[half] - base);
        float added = 0;
        for (int n = 0; n < Keys / 8; ++n)
            for (int e = 2 * half; e < 2 * half + 2; ++e) added += s[n][e] = exp2_of(s[n][e] - base);
        sum[half] = sum[half] * shrink + added;
        largest[half] = now;
        for (int n = 0; n < D / 8; ++n) {
            o[n][2 * half] *= shrink;
            o[n][2 * half + 1] *= shrink;
        }
    }
}

}  // namespace wb::cuda
