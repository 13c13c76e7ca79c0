#pragma once

#include "kernels/cuda/attention_backward.hpp"

namespace wb::cuda {

// Shah et al. 2024, FlashAttention-3, appendix B.1: a warpgroup fetches, two compute 64 keys each, so that weights and
// their gradients stay in registers as left matrices of the sums of dv and dk; dq is shared between them.

/// One warpgroup: 64 keys against all queries that see the block's keys.
struct Narrow {
    template <class T, class Room>
    WB_DEVICE static void compute(const Room& room, T* dk, T* dv, const KeyPlace<Room>& at, const Attention& a);
};
template <class T, class Room>
WB_DEVICE void Narrow::compute(const Room& room, T* dk, T* dv, const KeyPlace<Room>& at, const Attention& a) {
    constexpr int D = Room::d, Queries = Room::queries, Keys = Room::keys;
    auto& b = room.barriers();
    const int group = thread_index() / warpgroup_threads - 1, row = 16 * (warp_index() % 4) + lane_index() / 4,
              first = at.key + 64 * group, column = 2 * (lane_index() % 4);
    const PairMask mask(a);
    const float scale = a.scale * log2_e;
    float of_k[D / 8][4] = {}, of_v[D / 8][4] = {};
    int query = at.last_query();
    for (int step = 0; step < at.steps; ++step) {
        const int q = step % Room::q_stages, dy = step % Room::dy_stages;
        float s[Queries / 8][4] = {}, ds[Queries / 8][4] = {}, dq[8][4] = {};
        std::uint32_t p[Queries / 16][4];
        if (step == 0) barrier_wait(&b.k_full, 0);
        barrier_wait(&b.q_full[q], step / Room::q_stages % 2);
        start_scores<T, D, Keys, Queries, Queries>(s, room.k + 64 * group * panel_row_bytes, room.q(q));
        if (step == 0) barrier_wait(&b.v_full, 0);
        barrier_wait(&b.dy_full[dy], step / Room::dy_stages % 2);
        start_scores<T, D, Keys, Queries, Queries>(ds, room.v() + 64 * group * panel_row_bytes, room.dy(dy));
        products_wait<1>();
        products_settled(s);
        weigh<Queries>(s, room.lse(q) + column, scale, mask, mask.whole(first, 64, query, Queries), first + row,
                       query + column);
        constexpr bool early = Queries == 64;  // 128 would spill
        if (early) {
            round_weights<T, Queries>(p, s);
            start_sums<T, D, Queries>(of_v, p, room.dy(dy));
        }
        products_wait<early ? 1 : 0>();
        products_settled(ds);
        weigh_gradients<Queries>(ds, s, room.delta(dy) + column);
        if (!early) {
            round_weights<T, Queries>(p, s);
            start_sums<T, D, Queries>(of_v, p, room.dy(dy));
        }
        std::uint32_t score[Queries / 16][4];
        round_weights<T, Queries>(score, ds);
        put_weights<Queries>(room.weights(step, 0), Keys, 64 * group + row, 0, score);
        units_fence();
        sync_some(1, computing_threads);
        start_queries<T>(dq, room, step, Queries == 128 ? group : 0, Queries == 128 ? 0 : group);
        start_sums<T, D, Queries>(of_k, score, room.q(q));
        products_wait<2>();
        products_settled(of_v);
        release(&b.dy_empty[dy]);
        products_wait<1>();
        products_settled(dq);
        leave_sums(room, group, step, dq);
        products_wait<0>();
        products_settled(of_k);
        release(&b.q_empty[q]);
        query = at.query_after(query);
    }
    const std::int64_t keys = static_cast<std::int64_t>(at.batch) * a.seq_kv, stride = a.kv_heads * D;
    write_gradients<T, D>(dk + keys * stride + at.kv_head * D, stride, first + row, a.seq_kv, of_k, a.scale);
    write_gradients<T, D>(dv + keys * stride + at.kv_head * D, stride, first + row, a.seq_kv, of_v, 1.0F);
}

}  // namespace wb::cuda
