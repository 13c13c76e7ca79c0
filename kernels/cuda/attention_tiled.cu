#include "kernels/cuda/attention_tile.hpp"
#include "kernels/cuda/launch.hpp"

namespace wb::cuda {
namespace {

/// One head of one sequence.
template <class T>
struct HeadRows {
    const T *q, *k, *v;
    std::int64_t q_stride, k_stride;
};
template <class T>
WB_DEVICE HeadRows<T> rows_of(const T* q, const T* k, const T* v, std::int64_t batch, std::int64_t head,
                              const Attention& a) {
    const std::int64_t d = a.d, kv = head / a.group(), keys = batch * a.seq_kv * a.kv_heads + kv;
    return {q + (batch * a.seq * a.heads + head) * d, k + keys * d, v + keys * d, a.heads * d, a.kv_heads * d};
}

/// A block: 16 queries of one head for each warp. Keys and values of the next tile arrive while this one is computed.
template <class T, int D, int Warps, int Keys>
WB_KERNEL(Warps* warp_threads)
tiled_kernel(const T* q, const T* k, const T* v, T* y, float* lse, Attention a) {
    constexpr int rows = 16 * Warps, threads = Warps * warp_threads;
    T* const q_tile = reinterpret_cast<T*>(shared_memory());
    T* const k_tiles = q_tile + rows * D;
    T* const v_tiles = k_tiles + 2 * Keys * D;
    const std::int64_t head = block_y(), batch = block_z();
    const std::int64_t query = static_cast<std::int64_t>(blocks_x() - 1 - block_x()) * rows;  // longest rows first
    const HeadRows<T> from = rows_of(q, k, v, batch, head, a);
    const KeyTiles<Keys> tiles(query, rows, a);
    const auto fetch_keys = [&](std::int64_t tile) {
        const std::int64_t first = tiles.first + tile * Keys;
        fetch<D, Keys, threads>(k_tiles + tile % 2 * Keys * D, from.k, from.k_stride, first, a.seq_kv);
        fetch<D, Keys, threads>(v_tiles + tile % 2 * Keys * D, from.v, from.k_stride, first, a.seq_kv);
    };
    fetch<D, rows, threads>(q_tile, from.q, from.q_stride, query, a.seq);
    if (tiles.count > 0) fetch_keys(0);
    copies_end_group();
    const int warp_row = 16 * warp_index();
    const Sight sight(query + warp_row + lane_index() / 4, a);
    float o[D / 8][4] = {}, largest[2] = {nothing, nothing}, sum[2] = {0, 0};
    for (std::int64_t tile = 0; tile < tiles.count; ++tile) {
        if (tile + 1 < tiles.count) fetch_keys(tile + 1);
        copies_end_group();
        copies_wait<1>();
        sync_block();
        float s[Keys / 8][4] = {};
        multiply_rows<D, Keys>(s, q_tile, warp_row, k_tiles + tile % 2 * Keys * D);
        soften<D, Keys>(s, o, largest, sum, sight, tiles.first + tile * Keys, a.scale * log2_e);
        add_weighted<D, Keys>(o, s, v_tiles + tile % 2 * Keys * D);
        sync_block();
    }
    copies_wait<0>();
    float factor[2];
    for (int half = 0; half < 2; ++half) {
        const float all = row_sum(sum[half]);
        factor[half] = all > 0 ? 1.0F / all : 0.0F;
        const std::int64_t i = query + warp_row + lane_index() / 4 + 8 * half;
        if (i < a.seq && lane_index() % 4 == 0)
            lse[(batch * a.heads + head) * a.seq + i] = all > 0 ? largest[half] * ln_2 + logf(all) : nothing;
    }
    write_rows<D>(y + (batch * a.seq * a.heads + head) * D, from.q_stride, query + warp_row, a.seq, o, factor);
}

/// delta = dy . y of every query: one warp each.
template <class T, int D>
WB_KERNEL(flat_threads)
delta_kernel(const T* dy, const T* y, float* delta, Attention a) {
    const std::int64_t index = static_cast<std::int64_t>(block_x()) * (flat_threads / warp_threads) + warp_index();
    if (index >= a.queries()) return;
    const std::int64_t batch = index / a.seq / a.heads, head = index / a.seq % a.heads, i = index % a.seq;
    const std::int64_t row = ((batch * a.seq + i) * a.heads + head) * D;
    float sum = 0;
    for (int f = lane_index(); f < D; f += warp_threads) sum += to_float(dy[row + f]) * to_float(y[row + f]);
    sum = warp_sum(sum);
    if (lane_index() == 0) delta[index] = sum;
}

template <class T, int D, int Warps, int Keys>
WB_KERNEL(Warps* warp_threads)
query_gradient_kernel(const T* dy, const T* q, const T* k, const T* v, const float* lse, const float* delta, T* dq,
                      Attention a) {
    constexpr int rows = 16 * Warps, threads = Warps * warp_threads;
    T* const q_tile = reinterpret_cast<T*>(shared_memory());
    T* const dy_tile = q_tile + rows * D;
    T* const k_tiles = dy_tile + rows * D;
    T* const v_tiles = k_tiles + 2 * Keys * D;
    const std::int64_t head = block_y(), batch = block_z();
    const std::int64_t query = static_cast<std::int64_t>(blocks_x() - 1 - block_x()) * rows;
    const HeadRows<T> from = rows_of(q, k, v, batch, head, a);
    const std::int64_t own = (batch * a.seq * a.heads + head) * D;
    const KeyTiles<Keys> tiles(query, rows, a);
    const auto fetch_keys = [&](std::int64_t tile) {
        const std::int64_t first = tiles.first + tile * Keys;
        fetch<D, Keys, threads>(k_tiles + tile % 2 * Keys * D, from.k, from.k_stride, first, a.seq_kv);
        fetch<D, Keys, threads>(v_tiles + tile % 2 * Keys * D, from.v, from.k_stride, first, a.seq_kv);
    };
    fetch<D, rows, threads>(q_tile, from.q, from.q_stride, query, a.seq);
    fetch<D, rows, threads>(dy_tile, dy + own, from.q_stride, query, a.seq);
    if (tiles.count > 0) fetch_keys(0);
    copies_end_group();
    const int warp_row = 16 * warp_index();
    const std::int64_t row = query + warp_row + lane_index() / 4;
    const Sight sight(row, a);
    float whole[2] = {0, 0}, mean[2] = {0, 0};
    for (int half = 0; half < 2; ++half) {
        const std::int64_t i = row + 8 * half, at = (batch * a.heads + head) * a.seq + i;
        if (i < a.seq) whole[half] = lse[at] * log2_e, mean[half] = delta[at];
    }
    float result[D / 8][4] = {};
    for (std::int64_t tile = 0; tile < tiles.count; ++tile) {
        if (tile + 1 < tiles.count) fetch_keys(tile + 1);
        copies_end_group();
        copies_wait<1>();
        sync_block();
        const T* const keys = k_tiles + tile % 2 * Keys * D;
        float s[Keys / 8][4] = {}, dp[Keys / 8][4] = {};
        multiply_rows<D, Keys>(s, q_tile, warp_row, keys);
        multiply_rows<D, Keys>(dp, dy_tile, warp_row, v_tiles + tile % 2 * Keys * D);
        for (int n = 0; n < Keys / 8; ++n)
            for (int e = 0; e < 4; ++e) {
                const std::int64_t key = tiles.first + tile * Keys + 8 * n + 2 * (lane_index() % 4) + e % 2;
                const float p = sight.sees(e / 2, key) ? exp2_of(s[n][e] * a.scale * log2_e - whole[e / 2]) : 0.0F;
                s[n][e] = a.scale * p * (dp[n][e] - mean[e / 2]);
            }
        add_weighted<D, Keys>(result, s, keys);
        sync_block();
    }
    copies_wait<0>();
    const float one[2] = {1, 1};
    write_rows<D>(dq + own, from.q_stride, query + warp_row, a.seq, result, one);
}

/// A block: 16 keys of one key-value head for each warp, against the queries of all heads that share it.
template <class T, int D, int Warps, int Queries>
WB_KERNEL(Warps* warp_threads)
key_gradient_kernel(const T* dy, const T* q, const T* k, const T* v, const float* lse, const float* delta, T* dk, T* dv,
                    Attention a) {
    constexpr int rows = 16 * Warps, threads = Warps * warp_threads;
    T* const k_tile = reinterpret_cast<T*>(shared_memory());
    T* const v_tile = k_tile + rows * D;
    T* const q_tiles = v_tile + rows * D;
    T* const dy_tiles = q_tiles + 2 * Queries * D;
    float* const statistics = reinterpret_cast<float*>(dy_tiles + 2 * Queries * D);  // [2, 2, Queries]
    const std::int64_t kv = block_y(), batch = block_z(), key = static_cast<std::int64_t>(block_x()) * rows;
    const std::int64_t own = (batch * a.seq_kv * a.kv_heads + kv) * D, stride = a.kv_heads * D;
    const QueryTiles<Queries> tiles(key, rows, a);
    const std::int64_t steps = tiles.count * a.group();
    const auto fetch_queries = [&](std::int64_t step) {
        const std::int64_t head = kv * a.group() + step / tiles.count,
                           first = tiles.first + step % tiles.count * Queries;
        const std::int64_t from = (batch * a.seq * a.heads + head) * D;
        fetch<D, Queries, threads>(q_tiles + step % 2 * Queries * D, q + from, a.heads * D, first, a.seq);
        fetch<D, Queries, threads>(dy_tiles + step % 2 * Queries * D, dy + from, a.heads * D, first, a.seq);
        float* const to = statistics + step % 2 * 2 * Queries;
        for (int i = thread_index(); i < Queries; i += threads) {
            const std::int64_t at = (batch * a.heads + head) * a.seq + first + i;
            to[i] = first + i < a.seq ? lse[at] * log2_e : 0.0F;
            to[Queries + i] = first + i < a.seq ? delta[at] : 0.0F;
        }
    };
    fetch<D, rows, threads>(k_tile, k + own, stride, key, a.seq_kv);
    fetch<D, rows, threads>(v_tile, v + own, stride, key, a.seq_kv);
    if (steps > 0) fetch_queries(0);
    copies_end_group();
    const int warp_row = 16 * warp_index();
    float of_k[D / 8][4] = {}, of_v[D / 8][4] = {};
    for (std::int64_t step = 0; step < steps; ++step) {
        if (step + 1 < steps) fetch_queries(step + 1);
        copies_end_group();
        copies_wait<1>();
        sync_block();
        const T *const queries = q_tiles + step % 2 * Queries * D, *const gradients = dy_tiles + step % 2 * Queries * D;
        const float* const whole = statistics + step % 2 * 2 * Queries;
        float p[Queries / 8][4] = {}, ds[Queries / 8][4] = {};
        multiply_rows<D, Queries>(p, k_tile, warp_row, queries);
        multiply_rows<D, Queries>(ds, v_tile, warp_row, gradients);
        for (int n = 0; n < Queries / 8; ++n)
            for (int e = 0; e < 4; ++e) {
                const int at = 8 * n + 2 * (lane_index() % 4) + e % 2;
                const std::int64_t i = tiles.first + step % tiles.count * Queries + at;
                const std::int64_t j = key + warp_row + lane_index() / 4 + e / 2 * 8;
                const bool seen = i < a.seq && j >= a.first_key(i) && j < a.last_key(i);
                p[n][e] = seen ? exp2_of(p[n][e] * a.scale * log2_e - whole[at]) : 0.0F;
                ds[n][e] = a.scale * p[n][e] * (ds[n][e] - whole[Queries + at]);
            }
        add_weighted<D, Queries>(of_v, p, gradients);
        add_weighted<D, Queries>(of_k, ds, queries);
        sync_block();
    }
    copies_wait<0>();
    const float one[2] = {1, 1};
    write_rows<D>(dk + own, stride, key + warp_row, a.seq_kv, of_k, one);
    write_rows<D>(dv + own, stride, key + warp_row, a.seq_kv, of_v, one);
}

std::int64_t blocks(std::int64_t n, std::int64_t rows) { return (n + rows - 1) / rows; }

template <class T, int D, int Warps, int Keys>
void start_forward(Stream stream, const AttentionOperands& p, const Attention& how) {
    launch(stream, {blocks(how.seq, 16 * Warps), how.heads, how.batch}, Warps * warp_threads,
           (16 * Warps + 4 * Keys) * D * sizeof(T), tiled_kernel<T, D, Warps, Keys>, static_cast<const T*>(p.q),
           static_cast<const T*>(p.k), static_cast<const T*>(p.v), static_cast<T*>(p.y), p.lse, how);
}

template <class T, int D, int Keys, int Queries>
void start_backward(Stream stream, const AttentionGradients& p, const Attention& how) {
    constexpr int warps = 4, rows = 16 * warps;
    const auto *dy = static_cast<const T*>(p.dy), *q = static_cast<const T*>(p.q), *k = static_cast<const T*>(p.k),
               *v = static_cast<const T*>(p.v);
    launch(stream, {blocks(how.queries(), flat_threads / warp_threads), 1, 1}, flat_threads, 0, delta_kernel<T, D>, dy,
           static_cast<const T*>(p.y), p.delta, how);
    launch(stream, {blocks(how.seq, rows), how.heads, how.batch}, warps * warp_threads,
           (2 * rows + 4 * Keys) * D * sizeof(T), query_gradient_kernel<T, D, warps, Keys>, dy, q, k, v, p.lse, p.delta,
           static_cast<T*>(p.dq), how);
    launch(stream, {blocks(how.seq_kv, rows), how.kv_heads, how.batch}, warps * warp_threads,
           (2 * rows + 4 * Queries) * D * sizeof(T) + 4 * Queries * sizeof(float),
           key_gradient_kernel<T, D, warps, Queries>, dy, q, k, v, p.lse, p.delta, static_cast<T*>(p.dk),
           static_cast<T*>(p.dv), how);
}

}  // namespace

bool has_tiled(DType type, const Attention& how) {
    return is_unit_type(type) && how.d == how.dv && how.d == how.wide && how.scale > 0 &&
           (how.d == 64 || how.d == 128 || how.d == 256);
}

bool has_tiled_backward(DType type, const Attention& how) { return has_tiled(type, how) && how.d <= 128; }

void attention_tiled(Stream stream, DType type, const AttentionOperands& p, const Attention& how) {
    with_unit_type(type, [&]<class T>(T) {
        if (how.d == 64) return start_forward<T, 64, 8, 64>(stream, p, how);
        if (how.d == 128) return start_forward<T, 128, 8, 64>(stream, p, how);
        start_forward<T, 256, 8, 32>(stream, p, how);
    });
}

void attention_tiled_backward(Stream stream, DType type, const AttentionGradients& p, const Attention& how) {
    with_unit_type(type, [&]<class T>(T) {
        if (how.d == 64) return start_backward<T, 64, 64, 64>(stream, p, how);
        start_backward<T, 128, 64, 32>(stream, p, how);
    });
}

}  // namespace wb::cuda
