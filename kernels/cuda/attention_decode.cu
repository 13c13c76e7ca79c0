#include "kernels/cuda/attention_tile.hpp"
#include "kernels/cuda/launch.hpp"

namespace wb::cuda {
namespace {

// Matrix units multiply 16 rows whatever they hold: here the queries of all heads that share a key-value head, so that
// keys and values are read once for all of them, and nothing but memory is busy (zeros fill what is missing of 16).
constexpr int rows_at_once = 16, keys_at_once = 16, stages = 2;
constexpr std::int64_t most_queries = 16;  // of one key-value head, if they are of several tokens: more are a product
constexpr std::int64_t most_heads = 128;   // of one key-value head, of one token
constexpr std::int64_t least_keys = 128;   // of a split
constexpr int resident = 3;                // blocks of a multiprocessor, by their shared memory

/// Warps of a block: each has tiles of its own and waits for no other until the end.
template <int D>
constexpr int warps_of = D == 256 ? 2 : 4;

/// Of some keys: the largest score in base 2, the sum of exponentials over it, and the values weighted by them.
template <int N>
struct Partial {
    float largest = nothing, sum = 0, values[N] = {};

    WB_DEVICE void join(float other_largest, float other_sum, const float (&other)[N]) {
        const float now = fmaxf(largest, other_largest), base = now == nothing ? 0.0F : now;
        const float mine = exp2_of(largest - base), its = exp2_of(other_largest - base);
        sum = sum * mine + other_sum * its;
        for (int i = 0; i < N; ++i) values[i] = values[i] * mine + other[i] * its;
        largest = now;
    }
};

/// The queries of one key-value head: row r is token r % seq of the head r / seq among those that share it.
struct Rows {
    std::int64_t batch, kv, first, all;
    WB_DEVICE std::int64_t head(std::int64_t row, const Attention& a) const { return kv * a.group() + row / a.seq; }
    template <class T>
    WB_DEVICE const T* query(const T* q, std::int64_t row, const Attention& a) const {
        return q + ((batch * a.seq + row % a.seq) * a.heads + head(row, a)) * a.d;
    }
};

/// The block's part of the keys that any query sees.
struct Keys {
    std::int64_t begin, past;
    WB_DEVICE Keys(std::int64_t split, std::int64_t splits, const Attention& there) {
        const std::int64_t first = there.first_key(0), last = there.last_key(there.seq - 1);
        const std::int64_t each = (last - first + splits * keys_at_once - 1) / (splits * keys_at_once) * keys_at_once;
        begin = first + split * each;
        past = begin + each < last ? begin + each : last;
    }
    /// Tiles left for this warp.
    WB_DEVICE std::int64_t tiles(int warps) const {
        const std::int64_t all = past > begin ? (past - begin + keys_at_once - 1) / keys_at_once : 0;
        return (all - warp_index() + warps - 1) / warps;
    }
};

/// What the threads of a warp hold of 16 rows: of all warps, joined, to parts [query row, split, D + 2].
template <int D, int Warps>
WB_DEVICE void write_parts(float* to, const float (&o)[D / 8][4], const float (&largest)[2], const float (&sum)[2],
                           std::int64_t rows, std::int64_t split, std::int64_t splits) {
    float* const shared = reinterpret_cast<float*>(shared_memory());  // [Warps, 16, D + 2]
    sync_block();                                                     // nobody reads tiles any more
    for (int half = 0; half < 2; ++half) {
        float* const row = shared + (warp_index() * rows_at_once + lane_index() / 4 + 8 * half) * (D + 2);
        for (int n = 0; n < D / 8; ++n)
            for (int e = 0; e < 2; ++e) row[8 * n + 2 * (lane_index() % 4) + e] = o[n][2 * half + e];
        const float all = row_sum(sum[half]);
        if (lane_index() % 4 > 0) continue;
        row[D] = largest[half];
        row[D + 1] = all;
    }
    sync_block();
    for (int i = thread_index(); i < rows_at_once * D; i += Warps * warp_threads) {
        const int r = i / D, f = i % D;
        if (r >= rows) break;
        Partial<1> all;
        for (int w = 0; w < Warps; ++w) {
            const float* const one = shared + (w * rows_at_once + r) * (D + 2);
            const float value[1] = {one[f]};
            all.join(one[D], one[D + 1], value);
        }
        float* const row = to + (r * splits + split) * (D + 2);
        row[f] = all.values[0];
        if (f > 0) continue;
        row[D] = all.largest;
        row[D + 1] = all.sum;
    }
}

/// A block: one split of the keys of one key-value head, 16 of the queries that share it, from 16 `block_z` on.
template <class T, int D>
WB_KERNEL(warps_of<D>* warp_threads)
split_kernel(const T* q, const T* k, const T* v, float* parts, std::int64_t splits, Attention a) {
    constexpr int warps = warps_of<D>, tile = keys_at_once * D, chunks = D / 8;
    T* const q_tile = reinterpret_cast<T*>(shared_memory());
    T* const own = q_tile + rows_at_once * D + warp_index() * 2 * stages * tile;
    const Attention there = a.present();
    const Rows rows{block_y() / a.kv_heads, block_y() % a.kv_heads, static_cast<std::int64_t>(block_z()) * rows_at_once,
                    a.group() * a.seq};
    const Keys keys(block_x(), splits, there);
    for (int i = thread_index(); i < rows_at_once * chunks; i += warps * warp_threads) {
        const bool present = rows.first + i / chunks < rows.all;
        const std::int64_t row = present ? rows.first + i / chunks : 0;
        copy_async(q_tile + place<D>(i / chunks, i % chunks), rows.query(q, row, a) + i % chunks * 8, present);
    }
    copies_end_group();
    const std::int64_t head = (rows.batch * a.seq_kv * a.kv_heads + rows.kv) * D, stride = a.kv_heads * D;
    const std::int64_t tiles = keys.tiles(warps);
    const auto key_of = [&](std::int64_t t) { return keys.begin + (t * warps + warp_index()) * keys_at_once; };
    const auto fetch_tile = [&](std::int64_t t) {
        T* const to = own + t % stages * 2 * tile;
        if (t < tiles) {
            fetch<D, keys_at_once, warp_threads>(to, k + head, stride, key_of(t), keys.past, lane_index());
            fetch<D, keys_at_once, warp_threads>(to + tile, v + head, stride, key_of(t), keys.past, lane_index());
        }
        copies_end_group();
    };
    fetch_tile(0);
    Sight sight;
    for (int half = 0; half < 2; ++half) {
        const std::int64_t row = rows.first + lane_index() / 4 + 8 * half;
        if (row >= rows.all) continue;
        sight.first[half] = there.first_key(row % a.seq);
        sight.last[half] = there.last_key(row % a.seq) < keys.past ? there.last_key(row % a.seq) : keys.past;
    }
    copies_wait<1>();
    sync_block();  // queries are there
    float o[D / 8][4] = {}, largest[2] = {nothing, nothing}, sum[2] = {0, 0};
    for (std::int64_t t = 0; t < tiles; ++t) {
        fetch_tile(t + 1);
        copies_wait<1>();
        sync_warp();
        const T* const at = own + t % stages * 2 * tile;
        float s[keys_at_once / 8][4] = {};
        multiply_rows<D, keys_at_once>(s, q_tile, 0, at);
        soften<D, keys_at_once>(s, o, largest, sum, sight, key_of(t), a.scale * log2_e);
        add_weighted<D, keys_at_once>(o, s, at + tile);
        sync_warp();  // the stage may be filled again
    }
    copies_wait<0>();
    float* const to = parts + (block_y() * rows.all + rows.first) * splits * (D + 2);
    write_parts<D, warps>(to, o, largest, sum, rows.all - rows.first, block_x(), splits);
}

/// One warp for each query: the splits joined.
template <class T, int D>
WB_KERNEL(warp_threads)
join_kernel(const float* parts, T* y, float* lse, std::int64_t splits, Attention a) {
    constexpr int per_lane = D / warp_threads;
    const std::int64_t all = a.group() * a.seq, head_of_all = block_x() / all, row = block_x() % all;
    const Rows rows{head_of_all / a.kv_heads, head_of_all % a.kv_heads, row, all};
    Partial<per_lane> joined;
    for (std::int64_t s = 0; s < splits; ++s) {
        const float* const one = parts + (block_x() * splits + s) * (D + 2);
        float values[per_lane];
        for (int e = 0; e < per_lane; ++e) values[e] = one[lane_index() + e * warp_threads];
        joined.join(one[D], one[D + 1], values);
    }
    const float factor = joined.sum > 0 ? 1.0F / joined.sum : 0.0F;
    const std::int64_t i = row % a.seq, head = rows.head(row, a);
    T* const to = y + ((rows.batch * a.seq + i) * a.heads + head) * D;
    for (int e = 0; e < per_lane; ++e) to[lane_index() + e * warp_threads] = from_float<T>(joined.values[e] * factor);
    if (lane_index() == 0)
        lse[(rows.batch * a.heads + head) * a.seq + i] =
            joined.sum > 0 ? joined.largest * ln_2 + logf(joined.sum) : nothing;
}

std::int64_t row_blocks(const Attention& how) { return (how.group() * how.seq + rows_at_once - 1) / rows_at_once; }

template <class T, int D>
void start(Stream stream, const AttentionOperands& p, float* parts, std::int64_t splits, const Attention& how) {
    constexpr int warps = warps_of<D>;
    constexpr std::size_t tiles = (rows_at_once + warps * 2 * stages * keys_at_once) * D * sizeof(T);
    static_assert(tiles >= static_cast<std::size_t>(warps * rows_at_once) * (D + 2) * sizeof(float));
    launch(stream, {splits, how.batch * how.kv_heads, row_blocks(how)}, warps * warp_threads, tiles, split_kernel<T, D>,
           static_cast<const T*>(p.q), static_cast<const T*>(p.k), static_cast<const T*>(p.v), parts, splits, how);
    launch(stream, {how.queries(), 1, 1}, warp_threads, 0, join_kernel<T, D>, parts, static_cast<T*>(p.y), p.lse,
           splits, how);
}

}  // namespace

bool has_decode(DType type, const Attention& how) {
    return is_unit_type(type) && how.d == how.dv && how.d == how.wide &&
           (how.d == 64 || how.d == 128 || how.d == 256) &&
           how.group() * how.seq <= (how.seq == 1 ? most_heads : most_queries) && how.seq_kv >= 2 * how.seq &&
           how.batch * how.kv_heads < (1 << 16);
}

/// The fewest splits with which the last round of blocks is nearly as full as it can be.
std::int64_t decode_splits(const Attention& how, int processors) {
    const std::int64_t seen = how.window > 0 ? std::min(how.seq_kv, how.window + how.seq - 1) : how.seq_kv;
    const std::int64_t blocks = how.batch * how.kv_heads * row_blocks(how), room = processors * resident;
    const std::int64_t most = std::clamp<std::int64_t>(seen / least_keys, 1, room);
    const auto fullness = [&](std::int64_t splits) {
        const std::int64_t rounds = (blocks * splits + room - 1) / room;
        return static_cast<double>(blocks * splits) / static_cast<double>(rounds * room);
    };
    double fullest = 0;
    for (std::int64_t s = 1; s <= most; ++s) fullest = std::max(fullest, fullness(s));
    std::int64_t splits = 1;
    while (fullness(splits) < 0.9 * fullest) ++splits;
    return splits;
}

std::int64_t decode_scratch(const Attention& how, std::int64_t splits) { return how.queries() * splits * (how.d + 2); }

void attention_decode(Stream stream, DType type, const AttentionOperands& p, float* parts, std::int64_t splits,
                      const Attention& how) {
    with_unit_type(type, [&]<class T>(T) {
        if (how.d == 64) return start<T, 64>(stream, p, parts, splits, how);
        if (how.d == 128) return start<T, 128>(stream, p, parts, splits, how);
        start<T, 256>(stream, p, parts, splits, how);
    });
}

}  // namespace wb::cuda
