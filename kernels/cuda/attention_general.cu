#include <limits>

#include "kernels/cuda/attention.hpp"
#include "kernels/cuda/launch.hpp"

namespace wb::cuda {
namespace {

constexpr int warps = 4, threads = warps * warp_threads;
constexpr int per_lane = static_cast<int>(most_width) / warp_threads;
constexpr float nothing = -std::numeric_limits<float>::infinity();

/// One query, or one key, of a warp.
struct Item {
    std::int64_t batch, head, at;
};

WB_DEVICE std::int64_t warp_item() { return static_cast<std::int64_t>(block_x()) * warps + warp_index(); }

/// This warp's shared floats.
WB_DEVICE float* warp_memory(std::int64_t each) {
    return reinterpret_cast<float*>(shared_memory()) + warp_index() * each;
}

template <class T>
WB_DEVICE float dot(const float* x, const T* y, std::int64_t n) {
    float sum = 0;
    for (std::int64_t f = 0; f < n; ++f) sum += x[f] * to_float(y[f]);
    return sum;
}

/// sum[i] of feature lane + 32 i += sum over 32 rows of weight[row] * rows[row]; weights past the end are zero.
template <class T>
WB_DEVICE void add_rows(float (&sum)[per_lane], const float* weight, const T* rows, std::int64_t stride,
                        std::int64_t count, std::int64_t width) {
    for (std::int64_t r = 0; r < count; ++r)
        for (int i = 0; i < per_lane; ++i) {
            const std::int64_t f = lane_index() + warp_threads * i;
            if (f < width) sum[i] += weight[r] * to_float(rows[r * stride + f]);
        }
}

template <class T>
WB_DEVICE void to_shared(float* to, const T* from, std::int64_t n) {
    for (std::int64_t f = lane_index(); f < n; f += warp_threads) to[f] = to_float(from[f]);
}

template <class T>
WB_DEVICE void write(T* to, const float (&sum)[per_lane], float factor, std::int64_t width) {
    for (int i = 0; i < per_lane; ++i) {
        const std::int64_t f = lane_index() + warp_threads * i;
        if (f < width) to[f] = from_float<T>(sum[i] * factor);
    }
}

WB_DEVICE Item query_item(std::int64_t index, const Attention& a) {
    return {index / a.seq / a.heads, index / a.seq % a.heads, index % a.seq};
}

template <class T>
WB_KERNEL(threads)
forward_kernel(const T* q, const T* k, const T* v, T* y, float* lse, Attention a) {
    const std::int64_t index = warp_item();
    if (index >= a.queries()) return;
    const Item at = query_item(index, a);
    float* const own = warp_memory(a.d + warp_threads);
    float* const weight = own + a.d;
    const std::int64_t row = at.batch * a.seq + at.at, kv = at.head / a.group();
    to_shared(own, q + (row * a.heads + at.head) * a.d, a.d);
    sync_warp();
    const Attention now_there = a.present();
    const std::int64_t k_row = a.kv_heads * a.d, v_row = a.kv_heads * a.wide, last = now_there.last_key(at.at);
    const T* const keys = k + at.batch * a.seq_kv * k_row + kv * a.d;
    const T* const values = v + at.batch * a.seq_kv * v_row + kv * a.wide;
    float largest = nothing, sum = 0, result[per_lane] = {};
    for (std::int64_t first = now_there.first_key(at.at); first < last; first += warp_threads) {
        const std::int64_t j = first + lane_index();
        const float score = j < last ? a.scale * dot(own, keys + j * k_row, a.d) : nothing;
        const float now = fmaxf(largest, warp_max(score)), shrink = expf(largest - now);
        const float p = j < last ? expf(score - now) : 0.0F;
        sum = sum * shrink + warp_sum(p);
        largest = now;
        for (float& x : result) x *= shrink;
        weight[lane_index()] = p;
        sync_warp();
        const std::int64_t count = last - first < warp_threads ? last - first : warp_threads;
        add_rows(result, weight, values + first * v_row, v_row, count, a.dv);
        sync_warp();
    }
    write(y + (row * a.heads + at.head) * a.dv, result, sum > 0 ? 1.0F / sum : 0.0F, a.dv);
    if (lane_index() == 0) lse[index] = largest + (sum > 0 ? logf(sum) : 0.0F);
}

/// dq of one query, and its delta = dy . y, the sum over keys of p dp.
template <class T>
WB_KERNEL(threads)
query_kernel(const T* dy, const T* q, const T* k, const T* v, const T* y, const float* lse, T* dq, float* delta,
             Attention a) {
    const std::int64_t index = warp_item();
    if (index >= a.queries()) return;
    const Item at = query_item(index, a);
    float* const own = warp_memory(a.d + a.dv + warp_threads);
    float *const from = own + a.d, *const weight = from + a.dv;
    const std::int64_t row = (at.batch * a.seq + at.at) * a.heads + at.head, kv = at.head / a.group();
    to_shared(own, q + row * a.d, a.d);
    to_shared(from, dy + row * a.dv, a.dv);
    sync_warp();
    float mean = 0;
    for (std::int64_t f = lane_index(); f < a.dv; f += warp_threads) mean += from[f] * to_float(y[row * a.dv + f]);
    mean = warp_sum(mean);
    const std::int64_t k_row = a.kv_heads * a.d, v_row = a.kv_heads * a.wide, last = a.last_key(at.at);
    const T* const keys = k + at.batch * a.seq_kv * k_row + kv * a.d;
    const T* const values = v + at.batch * a.seq_kv * v_row + kv * a.wide;
    float result[per_lane] = {};
    for (std::int64_t first = a.first_key(at.at); first < last; first += warp_threads) {
        const std::int64_t j = first + lane_index();
        float ds = 0;
        if (j < last) {
            const float p = expf(a.scale * dot(own, keys + j * k_row, a.d) - lse[index]);
            ds = a.scale * p * (dot(from, values + j * v_row, a.dv) - mean);
        }
        weight[lane_index()] = ds;
        sync_warp();
        const std::int64_t count = last - first < warp_threads ? last - first : warp_threads;
        add_rows(result, weight, keys + first * k_row, k_row, count, a.d);
        sync_warp();
    }
    write(dq + row * a.d, result, 1.0F, a.d);
    if (lane_index() == 0) delta[index] = mean;
}

/// dk and dv of one key: over the queries of all heads that share it.
template <class T>
WB_KERNEL(threads)
key_kernel(const T* dy, const T* q, const T* k, const T* v, const float* lse, const float* delta, T* dk, T* dv,
           Attention a) {
    const std::int64_t index = warp_item();
    if (index >= a.batch * a.kv_heads * a.seq_kv) return;
    const Item at{index / a.seq_kv / a.kv_heads, index / a.seq_kv % a.kv_heads, index % a.seq_kv};
    float* const own = warp_memory(a.d + a.dv + 2 * warp_threads);
    float *const value = own + a.d, *const score_weight = value + a.dv, *const p_weight = score_weight + warp_threads;
    const std::int64_t row = (at.batch * a.seq_kv + at.at) * a.kv_heads + at.head;
    to_shared(own, k + row * a.d, a.d);
    to_shared(value, v + row * a.wide, a.dv);
    sync_warp();
    float of_k[per_lane] = {}, of_v[per_lane] = {};
    for (std::int64_t head = at.head * a.group(); head < (at.head + 1) * a.group(); ++head) {
        const T* const queries = q + (at.batch * a.seq * a.heads + head) * a.d;
        const T* const gradients = dy + (at.batch * a.seq * a.heads + head) * a.dv;
        const std::int64_t statistics = (at.batch * a.heads + head) * a.seq;
        for (std::int64_t first = 0; first < a.seq; first += warp_threads) {
            const std::int64_t i = first + lane_index();
            float p = 0, ds = 0;
            if (i < a.seq && at.at >= a.first_key(i) && at.at < a.last_key(i)) {
                p = expf(a.scale * dot(own, queries + i * a.heads * a.d, a.d) - lse[statistics + i]);
                ds = a.scale * p * (dot(value, gradients + i * a.heads * a.dv, a.dv) - delta[statistics + i]);
            }
            score_weight[lane_index()] = ds;
            p_weight[lane_index()] = p;
            sync_warp();
            const std::int64_t count = a.seq - first < warp_threads ? a.seq - first : warp_threads;
            add_rows(of_k, score_weight, queries + first * a.heads * a.d, a.heads * a.d, count, a.d);
            add_rows(of_v, p_weight, gradients + first * a.heads * a.dv, a.heads * a.dv, count, a.dv);
            sync_warp();
        }
    }
    write(dk + row * a.d, of_k, 1.0F, a.d);
    write(dv + row * a.wide, of_v, 1.0F, a.wide);  // zeros past dv: sums that nothing was added to
}

std::size_t shared_for(std::int64_t floats) { return static_cast<std::size_t>(warps * floats) * sizeof(float); }
Grid grid_for(std::int64_t items) { return {(items + warps - 1) / warps, 1, 1}; }

}  // namespace

void attention_general(Stream stream, DType type, const AttentionOperands& p, const Attention& how) {
    WB_EXPECT(how.d <= most_width && how.wide <= most_width);
    with_type(type, [&]<class T>(T) {
        launch(stream, grid_for(how.queries()), threads, shared_for(how.d + warp_threads), forward_kernel<T>,
               static_cast<const T*>(p.q), static_cast<const T*>(p.k), static_cast<const T*>(p.v), static_cast<T*>(p.y),
               p.lse, how);
    });
}

void attention_general_backward(Stream stream, DType type, const AttentionGradients& p, const Attention& how) {
    WB_EXPECT(how.d <= most_width && how.wide <= most_width);
    with_type(type, [&]<class T>(T) {
        const auto *dy = static_cast<const T*>(p.dy), *q = static_cast<const T*>(p.q), *k = static_cast<const T*>(p.k),
                   *v = static_cast<const T*>(p.v);
        launch(stream, grid_for(how.queries()), threads, shared_for(how.d + how.dv + warp_threads), query_kernel<T>, dy,
               q, k, v, static_cast<const T*>(p.y), p.lse, static_cast<T*>(p.dq), p.delta, how);
        launch(stream, grid_for(how.batch * how.kv_heads * how.seq_kv), threads,
               shared_for(how.d + how.dv + 2 * warp_threads), key_kernel<T>, dy, q, k, v, p.lse, p.delta,
               static_cast<T*>(p.dk), static_cast<T*>(p.dv), how);
    });
}

}  // namespace wb::cuda
