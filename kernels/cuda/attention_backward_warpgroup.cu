#include "kernels/cuda/attention_backward_narrow.hpp"
#include "kernels/cuda/attention_backward_wide.hpp"
#include "kernels/cuda/launch.hpp"

namespace wb::cuda {
namespace {

/// Before: delta = dy . y of every query, logarithms to base 2, sums of zero, no turn taken. Queries past the end, and
/// those that see nothing, get a logarithm of infinity: all their weights are zero then. One warp for each query.
template <class T>
WB_KERNEL(flat_threads)
prepare_kernel(const T* dy, const T* y, const float* lse, BackwardSums sums, int queries, std::int64_t tiles,
               Attention a) {
    const std::int64_t index = static_cast<std::int64_t>(block_x()) * (flat_threads / warp_threads) + warp_index();
    const std::int64_t padded = tiles * queries;
    if (index >= a.batch * a.heads * padded) return;
    const std::int64_t head = index / padded, i = index % padded;
    float sum = 0;
    if (i < a.seq) {
        const std::int64_t row = (head / a.heads * a.seq + i) * a.heads + head % a.heads;
        for (std::int64_t f = lane_index(); f < a.d / 2; f += warp_threads) {
            const Pack<T, 2> x = load<T, 2>(dy + row * a.d, f), z = load<T, 2>(y + row * a.d, f);
            sum += to_float(x.at[0]) * to_float(z.at[0]) + to_float(x.at[1]) * to_float(z.at[1]);
        }
    }
    sum = warp_sum(sum);
    for (std::int64_t f = lane_index(); f < a.d / 4; f += warp_threads)
        store<float, 4>(sums.dq + index * a.d, f, {{0, 0, 0, 0}});
    if (lane_index() != 0) return;
    const float all = i < a.seq ? lse[head * a.seq + i] : nothing;
    sums.lse[index] = all == nothing ? -nothing : all * log2_e;
    sums.delta[index] = sum;
    if (i % queries == 0) sums.turn[index / queries] = 0;
    if (index == 0) *sums.number = 0;
}

/// After: dq from its sums, which lie as pieces of 64 queries and 64 features in the order of fragments.
template <class T>
WB_KERNEL(flat_threads)
finish_kernel(T* dq, const float* sums, int queries, std::int64_t tiles, Attention a) {
    const std::int64_t index = static_cast<std::int64_t>(block_x()) * flat_threads + thread_index();
    const std::int64_t each = queries * a.d / 4, tile = index / each;
    if (tile >= a.batch * a.heads * tiles) return;
    const int within = static_cast<int>(index % each), thread = within % warpgroup_threads,
              n = within / warpgroup_threads % 8, piece = within / warpgroup_threads / 8;
    const std::int64_t head = tile / tiles, i = tile % tiles * queries + (queries == 128 ? 64 * piece : 0) +
                                                thread / warp_threads * 16 + thread % warp_threads / 4;
    const std::int64_t column = (queries == 128 ? 0 : 64 * piece) + 8 * n + 2 * (thread % 4);
    const Pack<float, 4> c = load<float, 4>(sums, index);
    for (int half = 0; half < 2; ++half) {
        if (i + 8 * half >= a.seq) continue;
        const std::int64_t row = (head / a.heads * a.seq + i + 8 * half) * a.heads + head % a.heads;
        *reinterpret_cast<std::uint32_t*>(dq + row * a.d + column) =
            two_of<T>(c.at[2 * half] * a.scale, c.at[2 * half + 1] * a.scale);
    }
}

/// A block: the keys of a tile of one key-value head. Part::compute() is what its two computing warpgroups do.
template <class Part, class T, class Room>
WB_KERNEL(backward_threads)
backward_kernel(WB_CONSTANT_PARAMETER TensorMap q, WB_CONSTANT_PARAMETER TensorMap dy,
                WB_CONSTANT_PARAMETER TensorMap k, WB_CONSTANT_PARAMETER TensorMap v, T* dk, T* dv, BackwardSums sums,
                Attention a) {
    const Room room{shared_memory()};
    if (thread_index() == 0) {
        room.begin();
        room.barriers().number = draw_number(sums.number);
    }
    sync_block();
    const KeyPlace<Room> at(room.barriers().number, a);
    if (thread_index() < warpgroup_threads) {
        registers_fewer<24>();
        if (thread_index() == 0 && at.steps > 0) fetch_all(room, q, dy, k, v, sums, at);
        if (thread_index() == warp_threads) add_all(room, sums, at, a);
    } else {
        registers_more<240>();
        Part::template compute<T>(room, dk, dv, at, a);
    }
}

template <class Part, class T, class Room>
void start(Stream stream, const AttentionGradients& p, const BackwardSums& sums, const Attention& how) {
    const std::int64_t blocks = KeyPlace<Room>::tiles_of(how.seq_kv, Room::keys) * how.kv_heads * how.batch;
    launch(stream, {blocks, 1, 1}, backward_threads, Room::bytes, backward_kernel<Part, T, Room>,
           map_of<Room::d>(p.q, how.batch, how.seq, how.heads, Room::queries),
           map_of<Room::d>(p.dy, how.batch, how.seq, how.heads, Room::queries),
           map_of<Room::d>(p.k, how.batch, how.seq_kv, how.kv_heads, Room::keys),
           map_of<Room::d>(p.v, how.batch, how.seq_kv, how.kv_heads, Room::keys), static_cast<T*>(p.dk),
           static_cast<T*>(p.dv), sums, how);
}

/// Tiles of queries, of all heads.
std::int64_t tiles_of(const Attention& how) {
    return (how.seq + queries_of(how.d) - 1) / queries_of(how.d) * how.batch * how.heads;
}

BackwardSums sums_of(float* scratch, const Attention& how) {
    const std::int64_t rows = tiles_of(how) * queries_of(how.d);
    float* const lse = scratch + rows * how.d;
    int* const number = reinterpret_cast<int*>(lse + 2 * rows);
    return {scratch, lse, lse + rows, number, number + 1};
}

}  // namespace

std::int64_t warpgroup_backward_scratch(const Attention& how) {
    return tiles_of(how) * (queries_of(how.d) * (how.d + 2) + 1) + 1;
}

void attention_warpgroup_backward(Stream stream, DType type, const AttentionGradients& p, float* scratch,
                                  const Attention& how) {
    const BackwardSums sums = sums_of(scratch, how);
    const int queries = queries_of(how.d);
    const std::int64_t tiles = tiles_of(how) / (how.batch * how.heads), rows = tiles_of(how) * queries;
    const auto blocks = [](std::int64_t n, std::int64_t each) { return Grid{(n + each - 1) / each, 1, 1}; };
    with_unit_type(type, [&]<class T>(T) {
        launch(stream, blocks(rows, flat_threads / warp_threads), flat_threads, 0, prepare_kernel<T>,
               static_cast<const T*>(p.dy), static_cast<const T*>(p.y), p.lse, sums, queries, tiles, how);
    });
    with_unit_type(type, [&]<class T>(T) {
        how.d == 64    ? start<Narrow, T, BackwardRoom<64, queries_of(64), 128, 2, 1, 1>>(stream, p, sums, how)
        : how.d == 128 ? start<Narrow, T, BackwardRoom<128, queries_of(128), 128, 2, 1, 1>>(stream, p, sums, how)
                       : start<Wide, T, BackwardRoom<256, queries_of(256), 64, 1, 2, 2>>(stream, p, sums, how);
        launch(stream, blocks(rows * how.d / 4, flat_threads), flat_threads, 0, finish_kernel<T>, static_cast<T*>(p.dq),
               sums.dq, queries, tiles, how);
    });
}

}  // namespace wb::cuda
