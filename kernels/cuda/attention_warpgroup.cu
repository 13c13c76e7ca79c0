#include "kernels/cuda/attention_warpgroup.hpp"
#include "kernels/cuda/launch.hpp"

namespace wb::cuda {
namespace {

// Shah et al. 2024, FlashAttention-3: warp specialisation (section 3.1, algorithm 1), products of one warpgroup beside
// the softmax of another (3.1, by barriers that pass a turn round) and of its own next tile (3.2, algorithm 2).

constexpr int stages = 2;

struct Barriers {
    PhaseBarrier q_full, k_full[stages], v_full[stages], k_empty[stages], v_empty[stages];
};

/// The block's shared memory: queries, then the stages of keys, of values, and the barriers.
template <int D, int Groups, int Keys>
struct Room {
    static constexpr int rows = 64 * Groups, of_queries = rows * D * 2, of_keys = Keys * D * 2;
    static constexpr int threads = (Groups + 1) * warpgroup_threads;
    static constexpr std::size_t bytes = of_queries + 2 * stages * of_keys + sizeof(Barriers);

    unsigned char* const q;
    WB_DEVICE unsigned char* k(int stage) const { return q + of_queries + stage * of_keys; }
    WB_DEVICE unsigned char* v(int stage) const { return q + of_queries + (stages + stage) * of_keys; }
    WB_DEVICE Barriers& barriers() const { return *reinterpret_cast<Barriers*>(q + of_queries + 2 * stages * of_keys); }

    WB_DEVICE void begin() const {
        constexpr int warps = Groups * warpgroup_threads / warp_threads;
        Barriers& b = barriers();
        barrier_begin(&b.q_full, 1);
        for (int s = 0; s < stages; ++s) {
            barrier_begin(&b.k_full[s], 1);
            barrier_begin(&b.v_full[s], 1);
            barrier_begin(&b.k_empty[s], warps);
            barrier_begin(&b.v_empty[s], warps);
        }
        all_barriers_begun();
    }
};

WB_DEVICE int stage_of(int step) { return step % stages; }
WB_DEVICE int parity_of(int step) { return step / stages % 2; }

struct Place {
    int head, kv_head, batch, query;  // the first of the block's queries
    int first_key, tiles;             // they are computed from the last tile to the first
    template <int Keys>
    WB_DEVICE int key(int step) const {
        return first_key + (tiles - 1 - step) * Keys;
    }
};

/// One thread. A tile of values follows the keys of the next tile, as it is needed then.
template <int D, int Groups, int Keys>
WB_DEVICE void produce(const Room<D, Groups, Keys>& room, const TensorMap& q, const TensorMap& k, const TensorMap& v,
                       const Place& at) {
    Barriers& b = room.barriers();
    const auto fetch_keys = [&](int step) {
        barrier_wait(&b.k_empty[stage_of(step)], 1 - parity_of(step));
        fetch_panels<D, Keys>(room.k(stage_of(step)), k, at.kv_head, at.key<Keys>(step), at.batch,
                              &b.k_full[stage_of(step)]);
    };
    fetch_panels<D, Room<D, Groups, Keys>::rows>(room.q, q, at.head, at.query, at.batch, &b.q_full);
    fetch_keys(0);
    for (int step = 0; step < at.tiles; ++step) {
        if (step + 1 < at.tiles) fetch_keys(step + 1);
        barrier_wait(&b.v_empty[stage_of(step)], 1 - parity_of(step));
        fetch_panels<D, Keys>(room.v(stage_of(step)), v, at.kv_head, at.key<Keys>(step), at.batch,
                              &b.v_full[stage_of(step)]);
    }
}

/// The online softmax of the two rows of a thread.
struct Softmax {
    float scale;  // with log2 e
    float largest[2] = {nothing, nothing}, sum[2] = {0, 0}, shrink[2] = {1, 1};
    int first[2], last[2];  // keys that each row sees

    WB_DEVICE Softmax(std::int64_t row, const Attention& a) : scale(a.scale * log2_e) {
        for (int half = 0; half < 2; ++half) {
            const std::int64_t i = row + 8 * half;
            first[half] = i < a.seq ? static_cast<int>(a.first_key(i)) : 0;
            last[half] = i < a.seq ? static_cast<int>(a.last_key(i)) : 0;
        }
    }

    /// Of Keys keys from `key` on; `whole`: both rows see all of them.
    template <int Keys>
    WB_DEVICE void step(float (&s)[Keys / 8][4], int key, bool whole) {
        WB_UNROLL
        for (int half = 0; half < 2; ++half) {
            if (!whole) hide<Keys>(s, half, first[half] - key, last[half] - key);
            float now = largest[half];
            WB_UNROLL
            for (int n = 0; n < Keys / 8; ++n) now = fmaxf(now, fmaxf(s[n][2 * half], s[n][2 * half + 1]));
            now = row_max(now);
            const float base = now == nothing ? 0.0F : now * scale;
            shrink[half] = exp2_of(largest[half] * scale - base);
            largest[half] = now;
            float added = 0;
            WB_UNROLL
            for (int n = 0; n < Keys / 8; ++n)
                for (int e = 2 * half; e < 2 * half + 2; ++e) added += s[n][e] = exp2_of(s[n][e] * scale - base);
            sum[half] = sum[half] * shrink[half] + added;
        }
    }
    template <int Keys>
    WB_DEVICE static void hide(float (&s)[Keys / 8][4], int half, int from, int past) {
        WB_UNROLL
        for (int n = 0; n < Keys / 8; ++n)
            for (int e = 0; e < 2; ++e) {
                const int key = 8 * n + 2 * (lane_index() % 4) + e;
                if (key < from || key >= past) s[n][2 * half + e] = nothing;
            }
    }
};

/// A turn that goes round the warpgroups, so that one's products run beside the softmax of another.
template <int Groups>
struct Turn {
    static constexpr int threads = 2 * warpgroup_threads;
    const int group, turns;
    WB_DEVICE void take(int number) const {
        if (number > 0 || group > 0) sync_some(1 + group, threads);
    }
    WB_DEVICE void pass(int number) const {
        if (number + 1 < turns || group + 1 < Groups) arrive_some(1 + (group + 1) % Groups, threads);
    }
};

template <class T, int D>
WB_DEVICE void write_results(T* y, float* lse, const float (&o)[D / 8][4], const Softmax& softmax, const Place& at,
                             int row, const Attention& a) {
    for (int half = 0; half < 2; ++half) {
        const std::int64_t i = at.query + row + 8 * half;
        const float all = row_sum(softmax.sum[half]), factor = all > 0 ? 1.0F / all : 0.0F;
        if (i >= a.seq) continue;
        const std::int64_t token = at.batch * a.seq + i;
        if (lane_index() % 4 == 0)
            lse[(static_cast<std::int64_t>(at.batch) * a.heads + at.head) * a.seq + i] =
                all > 0 ? softmax.largest[half] * a.scale + logf(all) : nothing;
        auto* const to = reinterpret_cast<std::uint32_t*>(y + (token * a.heads + at.head) * D);
        WB_UNROLL
        for (int n = 0; n < D / 8; ++n)
            to[4 * n + lane_index() % 4] = two_of<T>(o[n][2 * half] * factor, o[n][2 * half + 1] * factor);
    }
}

/// One warpgroup: 64 queries against all keys that the block's queries see.
template <class T, int D, int Groups, int Keys>
WB_DEVICE void consume(const Room<D, Groups, Keys>& room, T* y, float* lse, const Place& at, const Attention& a) {
    constexpr int rows = Room<D, Groups, Keys>::rows;
    Barriers& b = room.barriers();
    const int group = thread_index() / warpgroup_threads - 1, first_row = 64 * group;
    const int row = first_row + 16 * (warp_index() % 4) + lane_index() / 4;
    const unsigned char* const queries = room.q + first_row * panel_row_bytes;
    const std::int64_t end = at.query + first_row + 63, last_row = end < a.seq ? end : a.seq - 1;
    const std::int64_t seen_from = a.first_key(last_row), seen_past = a.last_key(at.query + first_row);
    const auto whole = [&](int key) { return key >= seen_from && key + Keys <= seen_past; };
    const Turn<Groups> turn{group, at.tiles - 1};
    Softmax softmax(at.query + row, a);
    float s[Keys / 8][4], o[D / 8][4] = {};
    std::uint32_t p[Keys / 16][4];
    if (at.tiles > 0) {
        barrier_wait(&b.q_full, 0);
        barrier_wait(&b.k_full[0], 0);
        start_scores<T, D, rows, Keys, Keys>(s, queries, room.k(0));
        products_wait<0>();
        products_settled(s);
        release(&b.k_empty[0]);
        softmax.step<Keys>(s, at.key<Keys>(0), whole(at.key<Keys>(0)));
        round_weights<T, Keys>(p, s);
    }
    for (int step = 1; step < at.tiles; ++step) {
        const int now = stage_of(step), before = stage_of(step - 1);
        barrier_wait(&b.k_full[now], parity_of(step));
        if (D <= 128) turn.take(step - 1);
        start_scores<T, D, rows, Keys, Keys>(s, queries, room.k(now));
        barrier_wait(&b.v_full[before], parity_of(step - 1));
        start_sums<T, D, Keys>(o, p, room.v(before));
        if (D <= 128) turn.pass(step - 1);
        products_wait<1>();
        products_settled(s);
        release(&b.k_empty[now]);
        softmax.step<Keys>(s, at.key<Keys>(step), whole(at.key<Keys>(step)));
        products_wait<0>();
        products_settled(o);
        release(&b.v_empty[before]);
        round_weights<T, Keys>(p, s);
        WB_UNROLL
        for (int n = 0; n < D / 8; ++n)
            for (int e = 0; e < 4; ++e) o[n][e] *= softmax.shrink[e / 2];
    }
    if (at.tiles > 0) {
        const int last = at.tiles - 1;
        barrier_wait(&b.v_full[stage_of(last)], parity_of(last));
        start_sums<T, D, Keys>(o, p, room.v(stage_of(last)));
        products_wait<0>();
        products_settled(o);
    }
    write_results<T, D>(y, lse, o, softmax, at, row, a);
}

/// A block: 64 queries of one head for each computing warpgroup.
template <class T, int D, int Groups, int Keys>
WB_KERNEL((Groups + 1) * warpgroup_threads)
warpgroup_kernel(WB_CONSTANT_PARAMETER TensorMap q, WB_CONSTANT_PARAMETER TensorMap k,
                 WB_CONSTANT_PARAMETER TensorMap v, T* y, float* lse, Attention a) {
    using Here = Room<D, Groups, Keys>;
    const Here room{shared_memory()};
    if (thread_index() == 0) room.begin();
    sync_block();
    const int query = (blocks_x() - 1 - block_x()) * Here::rows;  // longest rows first
    const KeyTiles<Keys> tiles(query, Here::rows, a);
    const Place at{block_y(), static_cast<int>(block_y() / a.group()), block_z(),
                   query,     static_cast<int>(tiles.first),           static_cast<int>(tiles.count)};
    if (thread_index() < warpgroup_threads) {
        registers_fewer<Groups == 2 ? 24 : 32>();
        if (thread_index() == 0 && at.tiles > 0) produce(room, q, k, v, at);
    } else {
        registers_more<Groups == 2 ? 240 : 160>();
        consume<T>(room, y, lse, at, a);
    }
}

template <class T, int D, int Groups, int Keys>
void start(Stream stream, const AttentionOperands& p, const Attention& how) {
    using Here = Room<D, Groups, Keys>;
    launch(stream, {(how.seq + Here::rows - 1) / Here::rows, how.heads, how.batch}, Here::threads, Here::bytes,
           warpgroup_kernel<T, D, Groups, Keys>, map_of<D>(p.q, how.batch, how.seq, how.heads, Here::rows),
           map_of<D>(p.k, how.batch, how.seq_kv, how.kv_heads, Keys),
           map_of<D>(p.v, how.batch, how.seq_kv, how.kv_heads, Keys), static_cast<T*>(p.y), p.lse, how);
}

template <class T>
void start(Stream stream, const AttentionOperands& p, const Attention& how) {
    if (how.d == 64) return start<T, 64, 3, 128>(stream, p, how);
    if (how.d == 128) return start<T, 128, 2, 128>(stream, p, how);
    start<T, 256, 2, 64>(stream, p, how);
}

}  // namespace

bool has_warpgroup(DType type, const Attention& how, const Device& device) {
    constexpr std::int64_t most = 1 << 30, most_blocks = 1 << 16;  // keys and queries are counted in int
    return device.major == 9 && device.minor == 0 && (type == DType::bf16 || type == DType::f16) && how.d == how.dv &&
           how.d == how.wide && how.scale > 0 && (how.d == 64 || how.d == 128 || how.d == 256) && how.seq < most &&
           how.seq_kv < most && how.heads < most_blocks && how.batch < most_blocks;
}

void attention_warpgroup(Stream stream, DType type, const AttentionOperands& p, const Attention& how) {
    type == DType::bf16 ? start<bf16>(stream, p, how) : start<f16>(stream, p, how);
}

}  // namespace wb::cuda
