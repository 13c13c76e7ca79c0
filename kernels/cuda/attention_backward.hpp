#pragma once

#include "kernels/cuda/attention_warpgroup.hpp"

namespace wb::cuda {

// Backward attention by warpgroups: what kernels for narrow and for wide heads share. A block has the keys of one tile
// and goes through the queries that see them, of all heads that share the keys; five products a tile. Its part of dq
// goes to sums in f32 in device memory. Blocks add to a tile of dq in the order of their keys, so that the sums come in
// a fixed order: a block waits for its turn, and only for blocks that began before it, since they draw their numbers.

constexpr int backward_threads = 3 * warpgroup_threads, computing_threads = 2 * warpgroup_threads;

/// What blocks share in device memory.
struct BackwardSums {
    float *dq, *lse, *delta;  ///< [batch * heads, tiles] of [Queries, D] in the order of fragments, and of [Queries]
    int *number, *turn;       ///< turn: [batch * heads, tiles]
};

/// Queries of a tile.
constexpr int queries_of(std::int64_t d) { return d == 64 ? 128 : 64; }

/// Sizes of a kernel: `Parts` of a tile of dq go through shared memory one after the other.
template <int D, int Queries, int Keys, int DyStages, int Copies, int Parts>
struct BackwardRoom {
    static constexpr int d = D, queries = Queries, keys = Keys, q_stages = 2, dy_stages = DyStages, parts = Parts;
    static constexpr int of_keys = Keys * D * 2, of_queries = Queries * D * 2, of_weights = Keys * Queries * 2,
                         of_sums = Queries * D * 4 / Parts, of_statistics = Queries * 4;
    struct Barriers {
        PhaseBarrier k_full, v_full, sums_full, sums_empty;
        PhaseBarrier q_full[q_stages], q_empty[q_stages], dy_full[DyStages], dy_empty[DyStages];
        int number;
    };
    static constexpr int q_at = 2 * of_keys, dy_at = q_at + q_stages * of_queries,
                         weights_at = dy_at + DyStages * of_queries, sums_at = weights_at + 2 * Copies * of_weights,
                         lse_at = sums_at + of_sums, delta_at = lse_at + q_stages * of_statistics,
                         barriers_at = delta_at + DyStages * of_statistics;
    static constexpr std::size_t bytes = barriers_at + sizeof(Barriers);

    unsigned char* const k;
    WB_DEVICE unsigned char* v() const { return k + of_keys; }
    WB_DEVICE unsigned char* q(int stage) const { return k + q_at + stage * of_queries; }
    WB_DEVICE unsigned char* dy(int stage) const { return k + dy_at + stage * of_queries; }
    /// Copy `which` of the weights of a step.
    WB_DEVICE unsigned char* weights(int step, int which) const {
        return k + weights_at + (step % 2 * Copies + which) * of_weights;
    }
    WB_DEVICE unsigned char* sums() const { return k + sums_at; }
    WB_DEVICE float* lse(int stage) const { return reinterpret_cast<float*>(k + lse_at) + stage * Queries; }
    WB_DEVICE float* delta(int stage) const { return reinterpret_cast<float*>(k + delta_at) + stage * Queries; }
    WB_DEVICE Barriers& barriers() const { return *reinterpret_cast<Barriers*>(k + barriers_at); }

    /// By one thread.
    WB_DEVICE void begin() const {
        constexpr int warps = computing_threads / warp_threads;
        Barriers& b = barriers();
        for (PhaseBarrier* one : {&b.k_full, &b.v_full, &b.sums_empty}) barrier_begin(one, 1);
        barrier_begin(&b.sums_full, warps);
        for (int s = 0; s < q_stages; ++s) barrier_begin(&b.q_full[s], 1), barrier_begin(&b.q_empty[s], warps);
        for (int s = 0; s < DyStages; ++s) barrier_begin(&b.dy_full[s], 1), barrier_begin(&b.dy_empty[s], warps);
        all_barriers_begun();
    }
};

/// A block's keys, and its steps: tiles of queries from the last to the first, one head after the other.
template <class Room>
struct KeyPlace {
    int batch, kv_head, key, first_tile, tiles, steps, first_head, all_tiles, heads;

    /// Heads beside each other take turns, as many as leave what their blocks read in the cache; longest keys first.
    WB_DEVICE KeyPlace(int number, const Attention& a) {
        constexpr int beside = 16;
        const int all = static_cast<int>(a.batch * a.kv_heads), key_tiles = tiles_of(a.seq_kv, Room::keys);
        const int before = number / (beside * key_tiles) * beside, within = number - before * key_tiles,
                  here = all - before < beside ? all - before : beside, head = before + within % here;
        batch = head / static_cast<int>(a.kv_heads);
        kv_head = head % static_cast<int>(a.kv_heads);
        key = within / here * Room::keys;
        const QueryTiles<Room::queries> seeing(key, Room::keys, a);
        first_tile = static_cast<int>(seeing.first) / Room::queries;
        tiles = static_cast<int>(seeing.count);
        steps = tiles * static_cast<int>(a.group());
        heads = static_cast<int>(a.heads);
        first_head = kv_head * static_cast<int>(a.group());
        all_tiles = tiles_of(a.seq, Room::queries);
    }
    WB_BOTH static int tiles_of(std::int64_t n, int rows) { return static_cast<int>((n + rows - 1) / rows); }
    WB_DEVICE int last_query() const { return (first_tile + tiles - 1) * Room::queries; }
    WB_DEVICE int query_after(int query) const {
        return query == first_tile * Room::queries ? last_query() : query - Room::queries;
    }
    WB_DEVICE int head(int step) const { return first_head + step / tiles; }
    WB_DEVICE int query(int step) const { return (first_tile + tiles - 1 - step % tiles) * Room::queries; }
    /// Of its tile of queries among all.
    WB_DEVICE std::int64_t tile(int step) const {
        return static_cast<std::int64_t>(batch * heads + head(step)) * all_tiles + query(step) / Room::queries;
    }
};

/// One thread.
template <class Room>
WB_DEVICE void fetch_all(const Room& room, const TensorMap& q, const TensorMap& dy, const TensorMap& k,
                         const TensorMap& v, const BackwardSums& sums, const KeyPlace<Room>& at) {
    auto& b = room.barriers();
    fetch_panels<Room::d, Room::keys>(room.k, k, at.kv_head, at.key, at.batch, &b.k_full);
    for (int step = 0; step < at.steps; ++step) {
        const int q_stage = step % Room::q_stages, dy_stage = step % Room::dy_stages;
        const std::int64_t from = at.tile(step) * Room::queries;
        barrier_wait(&b.q_empty[q_stage], 1 - step / Room::q_stages % 2);
        fetch_panels<Room::d, Room::queries>(room.q(q_stage), q, at.head(step), at.query(step), at.batch,
                                             &b.q_full[q_stage], Room::of_statistics);
        copy_bytes(room.lse(q_stage), sums.lse + from, Room::of_statistics, &b.q_full[q_stage]);
        if (step == 0) fetch_panels<Room::d, Room::keys>(room.v(), v, at.kv_head, at.key, at.batch, &b.v_full);
        barrier_wait(&b.dy_empty[dy_stage], 1 - step / Room::dy_stages % 2);
        fetch_panels<Room::d, Room::queries>(room.dy(dy_stage), dy, at.head(step), at.query(step), at.batch,
                                             &b.dy_full[dy_stage], Room::of_statistics);
        copy_bytes(room.delta(dy_stage), sums.delta + from, Room::of_statistics, &b.dy_full[dy_stage]);
    }
}

/// One thread: what the computing warpgroups leave in shared memory to the sums of dq, in its turn.
template <class Room>
WB_DEVICE void add_all(const Room& room, const BackwardSums& sums, const KeyPlace<Room>& at, const Attention& a) {
    auto& b = room.barriers();
    for (int step = 0; step < at.steps; ++step) {
        const std::int64_t tile = at.tile(step);
        const int turn = at.key / Room::keys - static_cast<int>(a.first_key(at.query(step))) / Room::keys;
        for (int part = 0; part < Room::parts; ++part) {
            const int number = step * Room::parts + part;
            barrier_wait(&b.sums_full, number % 2);
            if (part == 0) take_turn(sums.turn + tile, turn);
            add_floats(sums.dq + (tile * Room::parts + part) * (Room::of_sums / 4), room.sums(), Room::of_sums);
            sums_end_group();
            sums_wait_read();
            barrier_arrive(&b.sums_empty);
        }
        sums_wait();
        pass_turn(sums.turn + tile, turn);
    }
}

/// dq of 64 queries and 64 features, of all keys of the block: from these panels of the gradients of scores, and of the
/// keys.
template <class T, class Room>
WB_DEVICE void start_queries(float (&dq)[8][4], const Room& room, int step, int ds_panel, int key_panel) {
    constexpr int panel = Room::keys * panel_row_bytes;
    const std::uint64_t ds = columns_descriptor(room.weights(step, 0) + ds_panel * panel, panel);
    const std::uint64_t keys = columns_descriptor(room.k + key_panel * panel, panel);
    products_fence();
    WB_UNROLL
    for (int i = 0; i < Room::keys / 16; ++i)
        multiply_shared<T, 64, true, true>(dq, advanced(ds, 2 * i * panel_group_bytes),
                                           advanced(keys, 2 * i * panel_group_bytes), i > 0);
    products_end_group();
}

/// A warpgroup's half of a part of dq to shared memory, for add_all(): fragment n of a thread lies beside that of its
/// neighbour.
template <class Room, int N>
WB_DEVICE void leave_sums(const Room& room, int group, int number, const float (&dq)[N][4]) {
    auto& b = room.barriers();
    barrier_wait(&b.sums_empty, 1 - number % 2);
    WB_UNROLL
    for (int n = 0; n < N; ++n)
        put(room.sums() + ((group * N + n) * warpgroup_threads + thread_index() % warpgroup_threads) * 16,
            Pack<float, 4>{{dq[n][0], dq[n][1], dq[n][2], dq[n][3]}});
    units_fence();
    release(&b.sums_full);
}

/// Which of the pairs of key and query a mask lets through.
struct PairMask {
    int past, least, keys;  // least <= key - query < past, key < keys
    WB_DEVICE explicit PairMask(const Attention& a) : keys(static_cast<int>(a.seq_kv)) {
        constexpr int far = 2147483647;
        const int shift = static_cast<int>(a.seq_kv - a.seq);
        past = a.causal || a.window > 0 ? shift + 1 : far;
        least = a.window > 0 ? static_cast<int>(shift + 1 - (a.window < far / 2 ? a.window : far / 2)) : -far;
    }
    WB_DEVICE bool sees(int key, int query) const { return key < keys && key - query < past && key - query >= least; }
    /// Do all of these queries see all of these keys?
    WB_DEVICE bool whole(int key, int rows, int query, int columns) const {
        return key + rows <= keys && key + rows - 1 - query < past && key - (query + columns - 1) >= least;
    }
};

/// Scores [key, query] become weights: a thread's are of keys `key` and `key` + 8, queries `query` + 8 n and the next.
template <int N>
WB_DEVICE void weigh(float (&s)[N / 8][4], const float* lse, float scale, const PairMask& mask, bool whole, int key,
                     int query) {
    if (!whole) {
        WB_UNROLL
        for (int n = 0; n < N / 8; ++n)
            for (int e = 0; e < 4; ++e)
                if (!mask.sees(key + e / 2 * 8, query + 8 * n + e % 2)) s[n][e] = nothing;
    }
    WB_UNROLL
    for (int n = 0; n < N / 8; ++n) {
        const Pack<float, 2> all = load<float, 2>(lse, 4 * n);
        for (int e = 0; e < 4; ++e) s[n][e] = exp2_of(s[n][e] * scale - all.at[e % 2]);
    }
}
/// Gradients of weights become those of scores.
template <int N>
WB_DEVICE void weigh_gradients(float (&ds)[N / 8][4], const float (&p)[N / 8][4], const float* delta) {
    WB_UNROLL
    for (int n = 0; n < N / 8; ++n) {
        const Pack<float, 2> mean = load<float, 2>(delta, 4 * n);
        for (int e = 0; e < 4; ++e) ds[n][e] = p[n][e] * (ds[n][e] - mean.at[e % 2]);
    }
}

/// Fragments [key, query] to rows of keys in panels of 64 queries, `panel_rows` rows each.
template <int N>
WB_DEVICE void put_weights(unsigned char* panels, int panel_rows, int row, int column,
                           const std::uint32_t (&p)[N / 16][4]) {
    WB_UNROLL
    for (int n = 0; n < N / 8; ++n)
        for (int half = 0; half < 2; ++half) {
            const int at = column + 8 * n, key = row + 8 * half, chunk = at % panel_columns / 8 ^ (key & 7);
            put(panels + at / panel_columns * panel_rows * panel_row_bytes + key * panel_row_bytes + chunk * 16 +
                    lane_index() % 4 * 4,
                p[n / 2][n % 2 * 2 + half]);
        }
}

/// 64 rows of a warpgroup, times a factor, to rows [row, limit) of one head.
template <class T, int N>
WB_DEVICE void write_gradients(T* to, std::int64_t stride, int row, std::int64_t limit, const float (&c)[N / 8][4],
                               float factor) {
    for (int half = 0; half < 2; ++half) {
        if (row + 8 * half >= limit) continue;
        auto* const at = reinterpret_cast<std::uint32_t*>(to + (row + 8 * half) * stride) + lane_index() % 4;
        WB_UNROLL
        for (int n = 0; n < N / 8; ++n) at[4 * n] = two_of<T>(c[n][2 * half] * factor, c[n][2 * half + 1] * factor);
    }
}

}  // namespace wb::cuda
