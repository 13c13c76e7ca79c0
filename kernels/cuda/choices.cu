#include "kernels/cuda/kernels.hpp"
#include "kernels/cuda/launch.hpp"

namespace wb::cuda {
namespace {

constexpr int row_threads = 256, order_threads = 256;

WB_DEVICE float sigmoid(float x) { return 1.0F / (1.0F + expf(-x)); }

/// One warp for each token: the largest logit topk times over, the lower index where two are equal.
template <class T>
WB_KERNEL(warp_threads)
gate_kernel(const T* logits, std::int32_t* index, float* gate, Gate how) {
    const std::int64_t token = block_x();
    const T* const x = logits + token * how.experts;
    std::int32_t* const chosen = reinterpret_cast<std::int32_t*>(shared_memory());
    float* const weights = reinterpret_cast<float*>(chosen + how.topk);
    float largest = 0, sum = 0;
    for (std::int64_t s = 0; s < how.topk; ++s) {
        float best = 0;
        int at = -1;
        for (int e = lane_index(); e < how.experts; e += warp_threads) {
            bool taken = false;
            for (std::int64_t k = 0; k < s; ++k) taken |= chosen[k] == e;
            const float value = to_float(x[e]);
            if (!taken && (at < 0 || value > best)) best = value, at = e;
        }
        for (int mask = 16; mask > 0; mask /= 2) {
            const float other = shuffle_xor(best, mask);
            const int its = shuffle_xor(at, mask);
            if (its >= 0 && (at < 0 || other > best || (other == best && its < at))) best = other, at = its;
        }
        if (s == 0) largest = best;
        const float weight = how.sigmoid ? sigmoid(best) : expf(best - largest);
        sum += weight;
        sync_warp();
        if (lane_index() == 0) {
            chosen[s] = at;
            weights[s] = weight;
        }
        sync_warp();
    }
    for (std::int64_t s = lane_index(); s < how.topk; s += warp_threads) {
        index[token * how.topk + s] = chosen[s];
        gate[token * how.topk + s] = weights[s] * how.scale / sum;
    }
}

template <class T>
WB_KERNEL(warp_threads)
gate_backward_kernel(const float* dgate, const T* logits, const std::int32_t* index, const float* gate, T* dlogits,
                     Gate how) {
    const std::int64_t at = block_x() * how.topk, row = block_x() * how.experts;
    float mean = 0, sum = 0;  // the gates, without scale, are weights with sum 1
    for (std::int64_t s = 0; s < how.topk; ++s) {
        mean += dgate[at + s] * gate[at + s] / how.scale;
        if (how.sigmoid) sum += sigmoid(to_float(logits[row + index[at + s]]));
    }
    for (int e = lane_index(); e < how.experts; e += warp_threads) {
        float out = 0;
        for (std::int64_t s = 0; s < how.topk; ++s) {
            if (index[at + s] != e) continue;
            const float pull = how.scale * (dgate[at + s] - mean), score = sigmoid(to_float(logits[row + e]));
            out = how.sigmoid ? pull / sum * score * (1.0F - score) : pull * gate[at + s] / how.scale;
        }
        dlogits[row + e] = from_float<T>(out);
    }
}

WB_KERNEL(order_threads) count_kernel(const std::int32_t* index, std::int64_t entries, std::int32_t* first) {
    float* const sums = reinterpret_cast<float*>(shared_memory());
    float mine = 0;  // exact: below 2^24 entries
    for (std::int64_t i = thread_index(); i < entries; i += order_threads) mine += index[i] == block_x() ? 1.0F : 0.0F;
    const float all = block_sum(mine, sums);
    if (thread_index() == 0) first[block_x() + 1] = static_cast<std::int32_t>(all);
}

WB_KERNEL(warp_threads) first_kernel(std::int32_t* first, std::int64_t experts) {
    if (thread_index() != 0) return;
    first[0] = 0;
    for (std::int64_t e = 0; e < experts; ++e) first[e + 1] += first[e];
}

/// Block e places the entries of expert e in their order: each warp-wide vote says how many of them came before.
WB_KERNEL(order_threads)
place_kernel(const std::int32_t* index, std::int64_t entries, const std::int32_t* first, std::int32_t* source,
             std::int32_t* place) {
    int* const counts = reinterpret_cast<int*>(shared_memory());
    int at = first[block_x()];
    for (std::int64_t begin = 0; begin < entries; begin += order_threads) {
        const std::int64_t i = begin + thread_index();
        const bool mine = i < entries && index[i] == block_x();
        const std::uint32_t votes = ballot(mine);
        sync_block();
        if (lane_index() == 0) counts[warp_index()] = count_bits(votes);
        sync_block();
        int before = at + count_bits(votes & ((1U << lane_index()) - 1));
        for (int w = 0; w < block_warps(); ++w) {
            if (w < warp_index()) before += counts[w];
            at += counts[w];
        }
        if (!mine) continue;
        source[before] = static_cast<std::int32_t>(i);
        place[i] = before;
    }
}

template <class T, int V>
WB_KERNEL(flat_threads)
dispatch_kernel(const T* x, T* y, const std::int32_t* source, std::int64_t packs, std::int64_t row_packs,
                std::int64_t topk) {
    const std::int64_t i = static_cast<std::int64_t>(block_x()) * flat_threads + thread_index();
    if (i >= packs) return;
    store<T, V>(y, i, load<T, V>(x, source[i / row_packs] / topk * row_packs + i % row_packs));
}

template <class T, int V>
WB_KERNEL(flat_threads)
combine_kernel(const T* x, const float* gate, T* y, const std::int32_t* place, std::int64_t packs,
               std::int64_t row_packs, std::int64_t topk) {
    const std::int64_t i = static_cast<std::int64_t>(block_x()) * flat_threads + thread_index();
    if (i >= packs) return;
    const std::int64_t token = i / row_packs;
    float sum[V] = {};
    for (std::int64_t s = token * topk; s < (token + 1) * topk; ++s) {
        const Pack<T, V> from = load<T, V>(x, place[s] * row_packs + i % row_packs);
        const float weight = gate ? gate[s] : 1.0F;
        for (int v = 0; v < V; ++v) sum[v] += weight * to_float(from.at[v]);
    }
    Pack<T, V> out;
    for (int v = 0; v < V; ++v) out.at[v] = from_float<T>(sum[v]);
    store<T, V>(y, i, out);
}

template <class T>
WB_KERNEL(row_threads)
combine_backward_kernel(const T* dy, const T* x, const float* gate, T* dx, float* dgate, const std::int32_t* source,
                        std::int64_t columns, std::int64_t topk) {
    const std::int64_t row = block_x(), entry = source[row];
    const T* const from = dy + entry / topk * columns;
    const float weight = gate[entry];
    float sum = 0;
    for (std::int64_t j = thread_index(); j < columns; j += block_threads()) {
        const float d = to_float(from[j]);
        dx[row * columns + j] = from_float<T>(weight * d);
        sum += d * to_float(x[row * columns + j]);
    }
    sum = block_sum(sum, reinterpret_cast<float*>(shared_memory()));
    if (thread_index() == 0) dgate[entry] = sum;
}

constexpr int choose_threads = 256;

/// One block for each row.
template <class T>
WB_KERNEL(choose_threads)
choose_kernel(const T* logits, BestToken* best, std::int64_t columns, std::int64_t first, const std::uint64_t* keys,
              double temperature) {
    const std::int64_t row = block_x();
    BestToken mine;
    for (std::int64_t j = thread_index(); j < columns; j += choose_threads) {
        const std::int64_t id = first + j;
        double score = static_cast<double>(to_float(logits[row * columns + j]));
        if (keys) score = score / temperature - log(-log(TokenChoice::uniform(keys[row], id)));
        mine.consider(score, static_cast<double>(id));
    }
    for (int mask = 16; mask > 0; mask /= 2) {
        const double score = shuffle_xor(mine.score, mask), id = shuffle_xor(mine.id, mask);
        if (id >= 0) mine.consider(score, id);
    }
    BestToken* const of_warps = reinterpret_cast<BestToken*>(shared_memory());
    if (lane_index() == 0) of_warps[warp_index()] = mine;
    sync_block();
    if (thread_index() > 0) return;
    for (int w = 1; w < block_warps(); ++w)
        if (of_warps[w].id >= 0) mine.consider(of_warps[w].score, of_warps[w].id);
    best[row] = mine;
}

Grid flat_grid(std::int64_t n) { return {(n + flat_threads - 1) / flat_threads, 1, 1}; }

}  // namespace

void topk_gate(Stream stream, DType type, const void* logits, std::int32_t* index, float* gate, const Gate& how) {
    with_type(type, [&]<class T>(T) {
        launch(stream, {how.tokens, 1, 1}, warp_threads, static_cast<std::size_t>(8 * how.topk), gate_kernel<T>,
               static_cast<const T*>(logits), index, gate, how);
    });
}

void topk_gate_backward(Stream stream, DType type, const float* dgate, const void* logits, const std::int32_t* index,
                        const float* gate, void* dlogits, const Gate& how) {
    with_type(type, [&]<class T>(T) {
        launch(stream, {how.tokens, 1, 1}, warp_threads, 0, gate_backward_kernel<T>, dgate,
               static_cast<const T*>(logits), index, gate, static_cast<T*>(dlogits), how);
    });
}

void order_by_expert(Stream stream, const std::int32_t* index, std::int64_t entries, std::int64_t experts,
                     const ExpertOrder& order) {
    WB_EXPECT(entries < (1 << 24));
    launch(stream, {experts, 1, 1}, order_threads, 128, count_kernel, index, entries, order.first);
    launch(stream, {}, warp_threads, 0, first_kernel, order.first, experts);
    launch(stream, {experts, 1, 1}, order_threads, 128, place_kernel, index, entries, order.first, order.source,
           order.place);
}

void dispatch(Stream stream, DType type, const void* x, void* y, const ExpertOrder& order, const Matrix& y_shape,
              std::int64_t topk) {
    with_width(type, [&]<class T>(T) {
        const auto start = [&]<int V>(std::integral_constant<int, V>) {
            const std::int64_t row_packs = y_shape.columns / V, packs = y_shape.rows * row_packs;
            launch(stream, flat_grid(packs), flat_threads, 0, dispatch_kernel<T, V>, static_cast<const T*>(x),
                   static_cast<T*>(y), order.source, packs, row_packs, topk);
        };
        packs_fit<T>(y_shape.columns, x, y) ? start(std::integral_constant<int, widest<T>>{})
                                            : start(std::integral_constant<int, 1>{});
    });
}

void combine(Stream stream, DType type, const void* x, const float* gate, void* y, const ExpertOrder& order,
             const Matrix& y_shape, std::int64_t topk) {
    with_type(type, [&]<class T>(T) {
        const auto start = [&]<int V>(std::integral_constant<int, V>) {
            const std::int64_t row_packs = y_shape.columns / V, packs = y_shape.rows * row_packs;
            launch(stream, flat_grid(packs), flat_threads, 0, combine_kernel<T, V>, static_cast<const T*>(x), gate,
                   static_cast<T*>(y), order.place, packs, row_packs, topk);
        };
        packs_fit<T>(y_shape.columns, x, y) ? start(std::integral_constant<int, widest<T>>{})
                                            : start(std::integral_constant<int, 1>{});
    });
}

void combine_backward(Stream stream, DType type, const void* dy, const void* x, const float* gate, void* dx,
                      float* dgate, const ExpertOrder& order, const Matrix& x_shape, std::int64_t topk) {
    with_type(type, [&]<class T>(T) {
        launch(stream, {x_shape.rows, 1, 1}, threads_for(x_shape.columns, row_threads), 128, combine_backward_kernel<T>,
               static_cast<const T*>(dy), static_cast<const T*>(x), gate, static_cast<T*>(dx), dgate, order.source,
               x_shape.columns, topk);
    });
}

void choose(Stream stream, DType type, const void* logits, BestToken* best, const Matrix& shape, std::int64_t first,
            const std::uint64_t* keys, double temperature) {
    with_type(type, [&]<class T>(T) {
        launch(stream, {shape.rows, 1, 1}, choose_threads, choose_threads / warp_threads * sizeof(BestToken),
               choose_kernel<T>, static_cast<const T*>(logits), best, shape.columns, first, keys, temperature);
    });
}

}  // namespace wb::cuda
