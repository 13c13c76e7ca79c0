#pragma once

#include "kernels/cuda/attention_backward.hpp"

namespace wb::cuda {

// 256 features: dk and dv of 64 keys and all features would fill the registers of a warpgroup. So each of the two
// computes the weights of half of the queries, leaves them in shared memory, and sums half of the features of dk and dv
// from the weights of both.

/// sums [64 keys, 128 features] += weights times half of the features of a tile of queries.
template <class T, class Room>
WB_DEVICE void start_half(float (&sums)[16][4], const unsigned char* weights, const unsigned char* tile, int group) {
    constexpr int panel = Room::queries * panel_row_bytes;
    const std::uint64_t left = rows_descriptor(weights), right = columns_descriptor(tile + 2 * group * panel, panel);
    products_fence();
    WB_UNROLL
    for (int i = 0; i < Room::queries / 16; ++i)
        multiply_shared<T, 128, false, true>(sums, advanced(left, 32 * i), advanced(right, 2 * i * panel_group_bytes),
                                             true);
    products_end_group();
}

struct Wide {
    template <class T, class Room>
    WB_DEVICE static void compute(const Room& room, T* dk, T* dv, const KeyPlace<Room>& at, const Attention& a);
};
template <class T, class Room>
WB_DEVICE void Wide::compute(const Room& room, T* dk, T* dv, const KeyPlace<Room>& at, const Attention& a) {
    constexpr int D = Room::d, Queries = Room::queries, Keys = Room::keys, half = Queries / 2;
    auto& b = room.barriers();
    const int group = thread_index() / warpgroup_threads - 1, row = 16 * (warp_index() % 4) + lane_index() / 4,
              column = half * group + 2 * (lane_index() % 4);
    const PairMask mask(a);
    const float scale = a.scale * log2_e;
    float of_k[16][4] = {}, of_v[16][4] = {};
    int query = at.last_query();
    for (int step = 0; step < at.steps; ++step) {
        const int q = step % Room::q_stages, dy = step % Room::dy_stages;
        float s[half / 8][4], ds[half / 8][4], low[8][4], high[8][4];
        std::uint32_t p[half / 16][4];
        if (step == 0) barrier_wait(&b.k_full, 0);
        barrier_wait(&b.q_full[q], step / Room::q_stages % 2);
        start_scores<T, D, Keys, Queries, half>(s, room.k, room.q(q) + group * half * panel_row_bytes);
        if (step == 0) barrier_wait(&b.v_full, 0);
        barrier_wait(&b.dy_full[dy], step / Room::dy_stages % 2);
        start_scores<T, D, Keys, Queries, half>(ds, room.v(), room.dy(dy) + group * half * panel_row_bytes);
        products_wait<1>();
        products_settled(s);
        const bool whole = mask.whole(at.key, Keys, query + half * group, half);
        weigh<half>(s, room.lse(q) + column, scale, mask, whole, at.key + row, query + column);
        round_weights<T, half>(p, s);
        put_weights<half>(room.weights(step, 1), Keys, row, half * group, p);
        products_wait<0>();
        products_settled(ds);
        weigh_gradients<half>(ds, s, room.delta(dy) + column);
        round_weights<T, half>(p, ds);
        put_weights<half>(room.weights(step, 0), Keys, row, half * group, p);
        units_fence();
        sync_some(1, computing_threads);
        start_half<T, Room>(of_v, room.weights(step, 1), room.dy(dy), group);
        start_queries<T>(low, room, step, 0, group);
        start_queries<T>(high, room, step, 0, 2 + group);
        start_half<T, Room>(of_k, room.weights(step, 0), room.q(q), group);
        products_wait<3>();
        products_settled(of_v);
        release(&b.dy_empty[dy]);
        products_wait<2>();
        products_settled(low);
        leave_sums(room, group, 2 * step, low);
        products_wait<1>();
        products_settled(high);
        leave_sums(room, group, 2 * step + 1, high);
        products_wait<0>();
        products_settled(of_k);
        release(&b.q_empty[q]);
        query = at.query_after(query);
    }
    const std::int64_t first = static_cast<std::int64_t>(at.batch) * a.seq_kv * a.kv_heads + at.kv_head,
                       at_feature = first * D + 128 * group, stride = a.kv_heads * D;
    write_gradients<T, 128>(dk + at_feature, stride, at.key + row, a.seq_kv, of_k, a.scale);
    write_gradients<T, 128>(dv + at_feature, stride, at.key + row, a.seq_kv, of_v, 1.0F);
}

}  // namespace wb::cuda
