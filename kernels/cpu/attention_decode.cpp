#include <omp.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
#include <type_traits>
#include <vector>

#include "kernels/cpu/attention_tile.hpp"

namespace wb::cpu {

using namespace tile;
using simd::Vec;

namespace {

constexpr Index split_keys = 512;  // keys of one task; fixed, so that the bits do not depend on the threads
constexpr Index stage_keys = 16;   // keys worked on between two requests for later ones; a multiple of simd::width
constexpr Index keys_ahead = 48;   // how much later; 16 and 32 were slower for bf16
constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

/// Scores of `rows` query rows against all keys: simd::width products at a time, `rows` x width / rows of them.
/// q [rows][width]; k rows `stride` apart, `width` (padded) floats readable. Past the last key the scores repeat it.
template <int rows, class K>
void dots(const float* q, const K* k, Index stride, Index keys, Index width, float* scores) {
    constexpr int columns = std::min(4, simd::width / rows), span = simd::width / rows;
    constexpr int size = rows * columns;  // held in registers
    for (Index j = 0; j < keys; j += span) {
        Vec all[simd::width];
        for (int part = 0; part < span; part += columns) {
            const K* key[columns];
            for (int c = 0; c < columns; ++c) key[c] = k + std::min(j + part + c, keys - 1) * stride;
            Vec acc[size] = {};
            for (Index x = 0; x < width; x += simd::width) {
                Vec line[rows];
                simd::repeat<rows>([&](auto r) { line[r] = simd::load(q + r * width + x); });
                simd::repeat<columns>([&](auto c) {
                    Vec from = simd::load(key[c] + x);
                    simd::repeat<rows>([&](auto r) { acc[r * columns + c] += line[r] * from; });
                });
            }
            simd::repeat<size>([&](auto n) { all[n / columns * span + part + n % columns] = acc[n]; });
        }
        float lane[simd::width];
        simd::store(lane, simd::sums(all));
        for (int r = 0; r < rows; ++r) std::memcpy(scores + r * split_keys + j, lane + r * span, span * 4);
    }
}

template <class K>
void all_dots(const float* q, Index rows, const K* k, Index stride, Index keys, Index width, float* scores) {
    Index r = 0;
    for (; r + 4 <= rows; r += 4) dots<4>(q + r * width, k, stride, keys, width, scores + r * split_keys);
    for (; r + 2 <= rows; r += 2) dots<2>(q + r * width, k, stride, keys, width, scores + r * split_keys);
    for (; r < rows; ++r) dots<1>(q + r * width, k, stride, keys, width, scores + r * split_keys);
}

/// One task: `keys` keys from `first` of one kv head, for all query rows (group x seq_q) that read it.
struct Task {
    Index batch, kv_head, first, keys;
};

struct Scratch {
    float *scores, *staged;
    static Index floats(const AttentionShape& s, Index rows) {
        return rows * split_keys + stage_keys * std::max(padded(s.head_dim), padded(s.v_head_dim));
    }
    Scratch(Index rows, float* memory) : scores(memory), staged(memory + rows * split_keys) {}
};

/// Asks for `rows` rows of `bytes` bytes that are needed soon: with many query rows to a key the processor's own
/// look-ahead does not reach across the work on the keys before. Past the tensor's end it asks in vain.
void fetch(const void* from, Index stride_bytes, Index rows, Index bytes) {
    const auto address = reinterpret_cast<std::uintptr_t>(from);
    for (Index i = 0; i < rows; ++i)
        for (Index x = 0; x < bytes; x += 64)
            __builtin_prefetch(  // no pointer may leave its array, a number may
                                 // NOLINTNEXTLINE(performance-no-int-to-ptr)
                reinterpret_cast<const void*>(address + static_cast<std::uintptr_t>(i * stride_bytes + x)), 0, 2);
}

/// Calls body(row pointer, its stride, first key, keys) so that padded(columns) elements of every row can be read: in
/// place where they can and the body takes T (`direct`), else from a copy in float.
template <bool direct, class T, class Body>
void each_stage(const T* from, Index stride, Index keys, Index columns, float* staged, Body body) {
    for (Index j = 0; j < keys; j += stage_keys) {
        const Index now = std::min(stage_keys, keys - j);
        const T* here = from + j * stride;
        fetch(here + keys_ahead * stride, stride * Index{sizeof(T)}, now, columns * Index{sizeof(T)});
        if constexpr (direct)
            if (columns % simd::width == 0) {
                body(here, stride, j, now);
                continue;
            }
        stage_rows(here, stride, now, columns, staged);
        body(static_cast<const float*>(staged), padded(columns), j, now);
    }
}

/// Probabilities of one row against its own maximum over the task's keys; zero where masked.
void soften(float* s, Span span, Index keys, float& high, float& sum) {
    std::fill(s, s + span.low, minus_infinity);
    std::fill(s + span.high, s + padded(keys), minus_infinity);
    Vec top = simd::broadcast(minus_infinity), total{};
    for (Index j = 0; j < keys; j += simd::width) top = simd::max(top, simd::load(s + j));
    high = simd::max_lane(top);
    const float base = high == minus_infinity ? 0.0F : high;
    for (Index j = 0; j < keys; j += simd::width) {
        const Vec p = simd::exp2(simd::load(s + j) - base);
        simd::store(s + j, p);
        total += p;
    }
    sum = simd::sum(total);
}

/// Writes per row: maximum, sum, and the unnormalised output [padded(v_head_dim)].
template <class T>
void partial(const AttentionShape& s, const float* q, const T* k, const T* v, const Task& t, const Scratch& mine,
             float* high, float* sum, float* out) {
    const Index rows = s.heads / s.kv_heads * s.seq_q, q_width = padded(s.head_dim), width = padded(s.v_head_dim);
    each_stage<true>(k + t.batch * s.k.batch + t.kv_head * s.k.head + t.first * s.k.seq, s.k.seq, t.keys, s.head_dim,
                     mine.staged, [&](const auto* from, Index stride, Index j, Index keys) {
                         all_dots(q, rows, from, stride, keys, q_width, mine.scores + j);
                     });
    for (Index r = 0; r < rows; ++r)
        soften(mine.scores + r * split_keys, visible(s, r % s.seq_q, t.first, t.keys), t.keys, high[r], sum[r]);
    each_stage<std::is_same_v<T, float>>(
        v + t.batch * s.v.batch + t.kv_head * s.v.head + t.first * s.v.seq, s.v.seq, t.keys, s.v_head_dim, mine.staged,
        [&](const float* from, Index stride, Index j, Index keys) {
            multiply({rows, width, keys, mine.scores + j, split_keys, 1, from, stride, panel, out, width},
                     j == 0 ? Keep::nothing : Keep::all);
        });
}

/// Joins the splits of one row, in order. Partial r of split n: high[n * rows], ..., out[n * rows * width].
template <class T>
void join(const float* high, const float* sum, float* out, Index splits, Index rows, Index columns, T* o, float* lse) {
    const Index width = padded(columns);
    float highest = minus_infinity, total = 0.0F;
    for (Index n = 0; n < splits; ++n) highest = std::max(highest, high[n * rows]);
    const float base = highest == minus_infinity ? 0.0F : highest;
    for (Index n = 0; n < splits; ++n) {
        const float factor = std::exp2(high[n * rows] - base);
        const float* part = out + n * rows * width;
        total += sum[n * rows] * factor;
        for (Index x = 0; x < width; ++x) out[x] = (n == 0 ? 0.0F : out[x]) + part[x] * factor;
    }
    unstage_rows(out, 1, columns, total == 0.0F ? 0.0F : 1.0F / total, o, 0);
    if (lse != nullptr) *lse = total == 0.0F ? minus_infinity : highest * std::numbers::ln2_v<float> + std::log(total);
}

}  // namespace

template <class T>
void attention_decode(const AttentionShape& s, const T* q, const T* k, const T* v, T* o, float* lse, int threads) {
    const Index group = s.heads / s.kv_heads, rows = group * s.seq_q, total = s.batch * s.kv_heads;
    const Index q_width = padded(s.head_dim), width = padded(s.v_head_dim);
    const Index key_low = visible(s, 0, 0, s.seq_kv).low / split_keys * split_keys;
    const Index splits = ceil_div(std::max<Index>(s.seq_kv - key_low, 1), split_keys);
    const Index scratch_floats = round_up(Scratch::floats(s, rows), 16);
    const Buffer queries(total * rows * q_width), parts(total * splits * rows * (width + 2));
    const Buffer scratch(scratch_floats * threads);
    float* const high = parts.data();
    float* const sum = high + total * splits * rows;
    float* const out = sum + total * splits * rows;
    const auto head = [&](Index i) { return i / rows % s.kv_heads * group + i % rows / s.seq_q; };
#pragma omp parallel num_threads(threads)
    {
        const Scratch mine(rows, scratch.data() + scratch_floats * omp_get_thread_num());
#pragma omp for schedule(static)
        for (Index i = 0; i < total * rows; ++i) {
            float* to = queries.data() + i * q_width;
            stage_rows(q + i / rows / s.kv_heads * s.q.batch + head(i) * s.q.head + i % s.seq_q * s.q.seq, 0, 1,
                       s.head_dim, to);
            for (Index x = 0; x < s.head_dim; ++x) to[x] *= s.scale * std::numbers::log2e_v<float>;
        }
#pragma omp for schedule(dynamic, 1)
        for (Index i = 0; i < total * splits; ++i) {
            const Index kv = i / splits, first = key_low + i % splits * split_keys;
            const Task task{kv / s.kv_heads, kv % s.kv_heads, first, std::min(split_keys, s.seq_kv - first)};
            partial(s, queries.data() + kv * rows * q_width, k, v, task, mine, high + i * rows, sum + i * rows,
                    out + i * rows * width);
        }
#pragma omp for schedule(static)
        for (Index i = 0; i < total * rows; ++i) {
            const Index at = i / rows * splits * rows + i % rows, b = i / rows / s.kv_heads;
            join(high + at, sum + at, out + at * width, splits, rows, s.v_head_dim,
                 o + b * s.o.batch + head(i) * s.o.head + i % s.seq_q * s.o.seq,
                 lse == nullptr ? nullptr : lse + (b * s.heads + head(i)) * s.seq_q + i % s.seq_q);
        }
    }
}

template void attention_decode(const AttentionShape&, const float*, const float*, const float*, float*, float*, int);
template void attention_decode(const AttentionShape&, const bf16*, const bf16*, const bf16*, bf16*, float*, int);

}  // namespace wb::cpu
