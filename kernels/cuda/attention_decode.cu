#include <limits>

#include "kernels/cuda/attention.hpp"
#include "kernels/cuda/launch.hpp"

namespace wb::cuda {
namespace {

constexpr float nothing = -std::numeric_limits<float>::infinity();
constexpr int warps = 4, threads = warps * warp_threads;
constexpr int at_once = 4;                 // keys a group of lanes reads before it computes
constexpr std::int64_t most_queries = 16;  // of one key-value head: more are a product of matrices
constexpr std::int64_t least_keys = 128;   // of a split

/// Of some keys: the largest score, the sum of exponentials over it, and the values weighted by them.
template <int N>
struct Partial {
    float largest = nothing, sum = 0, values[N] = {};

    WB_DEVICE void join(float other_largest, float other_sum, const float (&other)[N]) {
        const float now = fmaxf(largest, other_largest), base = now == nothing ? 0.0F : now;
        const float mine = expf(largest - base), its = expf(other_largest - base);
        sum = sum * mine + other_sum * its;
        for (int i = 0; i < N; ++i) values[i] = values[i] * mine + other[i] * its;
        largest = now;
    }
};

/// A block: one split of the keys of one key-value head, `R` of the queries that share it, from `block_z` on. A group
/// of D / N lanes reads a key at once, 16 bytes a lane. Writes parts [query row, split, D + 2].
template <class T, int D, int R>
WB_KERNEL(threads)
split_kernel(const T* q, const T* k, const T* v, float* parts, std::int64_t splits, Attention a) {
    constexpr int N = widest<T>, lanes = D / N, groups = threads / lanes;
    const Attention there = a.present();
    const std::int64_t split = block_x(), kv = block_y() % a.kv_heads, batch = block_y() / a.kv_heads;
    const std::int64_t rows = a.group() * a.seq, from_row = static_cast<std::int64_t>(block_z()) * R;
    const int lane = thread_index() % lanes, group = thread_index() / lanes;
    float query[R][N];
    Partial<N> mine[R];
    std::int64_t first[R], last[R];
    WB_UNROLL
    for (int r = 0; r < R; ++r) {
        const std::int64_t row = from_row + r, head = kv * a.group() + row / a.seq, i = row % a.seq;
        first[r] = last[r] = 0;
        for (int e = 0; e < N; ++e) query[r][e] = 0;
        if (row >= rows) continue;
        first[r] = there.first_key(i);
        last[r] = there.last_key(i);
        const Pack<T, N> x = load<T, N>(q + ((batch * a.seq + i) * a.heads + head) * D, lane);
        for (int e = 0; e < N; ++e) query[r][e] = to_float(x.at[e]) * a.scale;
    }
    const std::int64_t each = (there.seq_kv + splits - 1) / splits, begin = split * each;
    const std::int64_t past = begin + each < there.seq_kv ? begin + each : there.seq_kv;
    const std::int64_t base = (batch * a.seq_kv * a.kv_heads + kv) * D, stride = a.kv_heads * D;
    for (std::int64_t j0 = begin; j0 < past; j0 += groups * at_once) {
        Pack<T, N> keys[at_once], values[at_once];
        for (int u = 0; u < at_once; ++u) {
            const std::int64_t j = j0 + u * groups + group, safe = j < past ? j : past - 1;
            keys[u] = load<T, N>(k + base + safe * stride, lane);
            values[u] = load<T, N>(v + base + safe * stride, lane);
        }
        WB_UNROLL
        for (int r = 0; r < R; ++r) {
            float score[at_once], now = mine[r].largest;
            for (int u = 0; u < at_once; ++u) {
                const std::int64_t j = j0 + u * groups + group;
                float dot = 0;
                for (int e = 0; e < N; ++e) dot += query[r][e] * to_float(keys[u].at[e]);
                for (int mask = lanes / 2; mask > 0; mask /= 2) dot += shuffle_xor(dot, mask);
                score[u] = j < past && j >= first[r] && j < last[r] ? dot : nothing;
                now = fmaxf(now, score[u]);
            }
            const float over = now == nothing ? 0.0F : now, shrink = expf(mine[r].largest - over);
            mine[r].largest = now;
            mine[r].sum *= shrink;
            for (int e = 0; e < N; ++e) mine[r].values[e] *= shrink;
            for (int u = 0; u < at_once; ++u) {
                const float p = expf(score[u] - over);
                mine[r].sum += p;
                for (int e = 0; e < N; ++e) mine[r].values[e] += p * to_float(values[u].at[e]);
            }
        }
    }
    float* const shared = reinterpret_cast<float*>(shared_memory());  // [groups, D + 2]
    WB_UNROLL
    for (int r = 0; r < R; ++r) {
        sync_block();
        for (int e = 0; e < N; ++e) shared[group * (D + 2) + lane * N + e] = mine[r].values[e];
        if (lane == 0) {
            shared[group * (D + 2) + D] = mine[r].largest;
            shared[group * (D + 2) + D + 1] = mine[r].sum;
        }
        sync_block();
        if (from_row + r >= rows) continue;  // the same for all threads
        float* const to = parts + (((batch * a.kv_heads + kv) * rows + from_row + r) * splits + split) * (D + 2);
        for (int f = thread_index(); f < D; f += threads) {
            Partial<1> all;
            for (int g = 0; g < groups; ++g) {
                const float* const one = shared + g * (D + 2);
                const float value[1] = {one[f]};
                all.join(one[D], one[D + 1], value);
            }
            to[f] = all.values[0];
            if (f == 0) {
                to[D] = all.largest;
                to[D + 1] = all.sum;
            }
        }
    }
}

/// One warp for each query: the splits joined.
template <class T, int D>
WB_KERNEL(warp_threads)
join_kernel(const float* parts, T* y, float* lse, std::int64_t splits, Attention a) {
    constexpr int per_lane = D / warp_threads;
    const std::int64_t rows = a.group() * a.seq, batch = block_x() / (a.kv_heads * rows);
    const std::int64_t kv = block_x() / rows % a.kv_heads, row = block_x() % rows;
    const std::int64_t head = kv * a.group() + row / a.seq, i = row % a.seq;
    Partial<per_lane> all;
    for (std::int64_t s = 0; s < splits; ++s) {
        const float* const one = parts + (block_x() * splits + s) * (D + 2);
        float values[per_lane];
        for (int e = 0; e < per_lane; ++e) values[e] = one[lane_index() + e * warp_threads];
        all.join(one[D], one[D + 1], values);
    }
    const float factor = all.sum > 0 ? 1.0F / all.sum : 0.0F;
    T* const to = y + ((batch * a.seq + i) * a.heads + head) * D;
    for (int e = 0; e < per_lane; ++e) to[lane_index() + e * warp_threads] = from_float<T>(all.values[e] * factor);
    if (lane_index() == 0)
        lse[(batch * a.heads + head) * a.seq + i] = all.sum > 0 ? all.largest + logf(all.sum) : nothing;
}

template <class T, int D>
void start(Stream stream, const AttentionOperands& p, float* parts, std::int64_t splits, const Attention& how) {
    const std::int64_t rows = how.group() * how.seq;
    constexpr std::size_t shared = static_cast<std::size_t>(threads / (D / widest<T>)) * (D + 2) * sizeof(float);
    const auto split = [&]<int R>(std::integral_constant<int, R>) {
        launch(stream, {splits, how.batch * how.kv_heads, (rows + R - 1) / R}, threads, shared, split_kernel<T, D, R>,
               static_cast<const T*>(p.q), static_cast<const T*>(p.k), static_cast<const T*>(p.v), parts, splits, how);
    };
    rows == 1 ? split(std::integral_constant<int, 1>{}) : split(std::integral_constant<int, 4>{});
    launch(stream, {how.batch * how.kv_heads * rows, 1, 1}, warp_threads, 0, join_kernel<T, D>, parts,
           static_cast<T*>(p.y), p.lse, splits, how);
}

}  // namespace

bool has_decode(DType type, const Attention& how) {
    return type == DType::bf16 && how.d == how.dv && how.d == how.wide && (how.d == 64 || how.d == 128) &&
           how.group() * how.seq <= most_queries && how.seq_kv >= 2 * how.seq && how.batch * how.kv_heads < (1 << 16);
}

std::int64_t decode_splits(const Attention& how, int processors) {
    const std::int64_t wanted = (4 * processors + how.batch * how.kv_heads - 1) / (how.batch * how.kv_heads);
    return std::clamp<std::int64_t>(wanted, 1, (how.seq_kv + least_keys - 1) / least_keys);
}

std::int64_t decode_scratch(const Attention& how, std::int64_t splits) { return how.queries() * splits * (how.d + 2); }

void attention_decode(Stream stream, DType type, const AttentionOperands& p, float* parts, std::int64_t splits,
                      const Attention& how) {
    WB_EXPECT(type == DType::bf16);
    how.d == 64 ? start<bf16, 64>(stream, p, parts, splits, how) : start<bf16, 128>(stream, p, parts, splits, how);
}

}  // namespace wb::cuda
