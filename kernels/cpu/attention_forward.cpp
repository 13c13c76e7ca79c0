#include <omp.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "core/error.hpp"
#include "kernels/cpu/attention_tile.hpp"

namespace wb::cpu {

using namespace tile;
using simd::Vec;

namespace {

constexpr Index block_rows = 96;   // a multiple of micro_rows
constexpr Index block_keys = 256;  // a multiple of panel; the scores of one block stay in L2
constexpr Index band_rows = 12;    // rows handled together where a mask cuts the block
constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

/// Some kv heads' keys, transposed in panels, and values: packed once, read by every query block.
struct Packed {
    Index key_floats, value_floats, value_width;
    Buffer keys, values;

    Packed(const AttentionShape& s, Index kv_heads)
        : key_floats(ceil_div(s.seq_kv, panel) * panel * s.head_dim),
          value_floats(s.seq_kv * padded(s.v_head_dim)),
          value_width(padded(s.v_head_dim)),
          keys(key_floats * kv_heads),
          values(value_floats * kv_heads) {}
};

/// One thread's working memory.
struct Scratch {
    float *q, *scores, *out, *high, *sum, *part, *scale;

    static Index floats(const AttentionShape& s) {
        return block_rows * (padded(s.head_dim) + block_keys + padded(s.v_head_dim) + 4) + simd::width;
    }
    Scratch(const AttentionShape& s, float* memory) {
        q = memory;
        scores = q + block_rows * padded(s.head_dim);
        out = scores + block_rows * block_keys;
        high = out + block_rows * padded(s.v_head_dim);
        sum = high + block_rows;
        part = sum + block_rows;
        scale = part + block_rows;
        std::fill(scale, scale + block_rows + simd::width, 0.0F);
    }
};

/// The query rows and keys now worked on: `rows` from `row`, `keys` from `key`.
struct Block {
    Index row, rows, key, keys;
};

/// Scores in units of log2, rows [first, first + rows) of the block against its keys [span.low, span.high).
void score(const AttentionShape& s, const float* keys, const Scratch& t, Index first, Index rows, Span span,
           Index key) {
    const Index from = span.low / panel * panel;
    const Index width = padded(s.head_dim);
    multiply(
        {rows, padded(span.high - from), s.head_dim, t.q + first * width, width, 1, keys + (key + from) * s.head_dim,
         panel, panel * s.head_dim, t.scores + first * block_keys + from, block_keys},
        Keep::nothing);
}

/// Four chains, since one would wait for its own latency.
float highest_of(const float* from, const float* to) {
    Vec high[4];
    for (Vec& h : high) h = simd::broadcast(minus_infinity);
    for (; from + 4 * simd::width <= to; from += 4 * simd::width)
        for (int i = 0; i < 4; ++i) high[i] = simd::max(high[i], simd::load(from + i * simd::width));
    for (; from < to; from += simd::width) high[0] = simd::max(high[0], simd::load(from));
    return simd::max_lane(simd::max(simd::max(high[0], high[1]), simd::max(high[2], high[3])));
}

/// Turns a row of scores into probabilities against the running maximum; zero in [band.low, band.high) off the span.
/// Leaves the logarithm of the row's new scale, and the sum of the probabilities.
void soften(const Scratch& t, Index row, Span span, Span band) {
    float* s = t.scores + row * block_keys;
    const Index from = span.low / simd::width * simd::width;
    const Index to = span.high > span.low ? round_up(span.high, simd::width) : from;
    if (to > from) {
        std::fill(s + from, s + span.low, minus_infinity);
        std::fill(s + span.high, s + to, minus_infinity);
    }
    const float highest = std::max(t.high[row], highest_of(s + from, s + to));
    const float base = highest == minus_infinity ? 0.0F : highest;
    Vec sum{};
    for (Index j = from; j < to; j += simd::width) {
        const Vec p = simd::exp2(simd::load(s + j) - base);
        simd::store(s + j, p);
        sum += p;
    }
    if (band.low < from) std::fill(s + band.low, s + std::min(from, band.high), 0.0F);
    if (to < band.high) std::fill(s + std::max(to, band.low), s + band.high, 0.0F);
    t.scale[row] = t.high[row] - base;
    t.part[row] = simd::sum(sum);
    t.high[row] = highest;
}

void step(const AttentionShape& s, const float* keys, const float* values, const Scratch& t, const Block& b) {
    const Index width = padded(s.v_head_dim);
    const bool cut =
        visible(s, b.row, b.key, b.keys).high < b.keys || visible(s, b.row + b.rows - 1, b.key, b.keys).low > 0;
    const Index stride = cut ? band_rows : b.rows;
    for (Index first = 0; first < b.rows; first += stride) {
        const Index rows = std::min(stride, b.rows - first);
        const Span band{visible(s, b.row + first, b.key, b.keys).low,
                        visible(s, b.row + first + rows - 1, b.key, b.keys).high};
        if (band.low >= band.high) continue;
        score(s, keys, t, first, rows, band, b.key);
        for (Index i = first; i < first + rows; ++i) soften(t, i, visible(s, b.row + i, b.key, b.keys), band);
        for (Index i = first; i < first + rows; i += simd::width)  // past the last row: written before it is used
            simd::store(t.scale + i, simd::exp2(simd::load(t.scale + i)));
        for (Index i = first; i < first + rows; ++i) t.sum[i] = t.sum[i] * t.scale[i] + t.part[i];
        multiply({rows, width, band.high - band.low, t.scores + first * block_keys + band.low, block_keys, 1,
                  values + (b.key + band.low) * width, width, panel, t.out + first * width, width},
                 Keep::scaled, t.scale + first);
    }
}

/// All keys for the query rows [row, row + rows) of one head.
template <class T>
void attend(const AttentionShape& s, const T* q, const float* keys, const float* values, T* o, float* lse, Index row,
            Index rows, const Scratch& t) {
    const Index q_width = padded(s.head_dim), width = padded(s.v_head_dim);
    stage_rows(q + row * s.q.seq, s.q.seq, rows, s.head_dim, t.q);
    const float factor = s.scale * std::numbers::log2e_v<float>;
    for (Index i = 0; i < rows * q_width; ++i) t.q[i] *= factor;
    std::fill(t.high, t.high + rows, minus_infinity);
    std::fill(t.sum, t.sum + rows, 0.0F);
    std::fill(t.out, t.out + rows * width, 0.0F);
    const Index low = visible(s, row, 0, s.seq_kv).low, high = visible(s, row + rows - 1, 0, s.seq_kv).high;
    for (Index key = low / block_keys * block_keys; key < high; key += block_keys)
        step(s, keys, values, t, {row, rows, key, std::min(block_keys, s.seq_kv - key)});
    for (Index i = 0; i < rows; ++i) {
        const float sum = t.sum[i];
        unstage_rows(t.out + i * width, 1, s.v_head_dim, sum == 0.0F ? 0.0F : 1.0F / sum, o + (row + i) * s.o.seq, 0);
        if (lse != nullptr)
            lse[row + i] = sum == 0.0F ? minus_infinity : t.high[i] * std::numbers::ln2_v<float> + std::log(sum);
    }
}

template <class T>
void pack(const AttentionShape& s, const T* k, const T* v, Index kv, Index slot, Index first, const Packed& packed) {
    const Index rows = std::min(panel, s.seq_kv - first);
    const Index b = kv / s.kv_heads, h = kv % s.kv_heads;
    stage_transposed(k + b * s.k.batch + h * s.k.head + first * s.k.seq, s.k.seq, rows, s.head_dim,
                     packed.keys.data() + slot * packed.key_floats + first * s.head_dim);
    stage_rows(v + b * s.v.batch + h * s.v.head + first * s.v.seq, s.v.seq, rows, s.v_head_dim,
               packed.values.data() + slot * packed.value_floats + first * packed.value_width);
}

/// Heads in waves, so that the packed copies stay bounded; in a wave the longest causal rows go first.
template <class T>
void attention_blocks(const AttentionShape& s, const T* q, const T* k, const T* v, T* o, float* lse, int threads) {
    const Index total = s.batch * s.kv_heads, group = s.heads / s.kv_heads;
    const Index each = (ceil_div(s.seq_kv, panel) * panel * s.head_dim + s.seq_kv * padded(s.v_head_dim)) * 4;
    const Index wave = std::clamp<Index>(workspace_bytes / std::max<Index>(each, 1), 1, total);
    const Packed packed(s, wave);
    const Index scratch_floats = round_up(Scratch::floats(s), 16);
    const Buffer scratch(scratch_floats * threads);
    const Index panels = ceil_div(s.seq_kv, panel), blocks = ceil_div(s.seq_q, block_rows);
#pragma omp parallel num_threads(threads)
    {
        const Scratch mine(s, scratch.data() + scratch_floats * omp_get_thread_num());
        for (Index start = 0; start < total; start += wave) {
            const Index now = std::min(wave, total - start);
#pragma omp for schedule(static)
            for (Index i = 0; i < now * panels; ++i)
                pack(s, k, v, start + i / panels, i / panels, i % panels * panel, packed);
#pragma omp for schedule(dynamic, 1)
            for (Index i = 0; i < now * blocks * group; ++i) {
                const Index slot = i / (blocks * group), kv = start + slot;
                const Index row = (blocks - 1 - i / group % blocks) * block_rows;
                const Index b = kv / s.kv_heads, h = kv % s.kv_heads * group + i % group;
                attend(s, q + b * s.q.batch + h * s.q.head, packed.keys.data() + slot * packed.key_floats,
                       packed.values.data() + slot * packed.value_floats, o + b * s.o.batch + h * s.o.head,
                       lse == nullptr ? nullptr : lse + (b * s.heads + h) * s.seq_q, row,
                       std::min(block_rows, s.seq_q - row), mine);
            }
        }
    }
}

}  // namespace

template <class T>
void attention_forward(const AttentionShape& s, const T* q, const T* k, const T* v, T* o, float* lse, int threads) {
    expect_valid(s, threads);
    if (s.batch == 0 || s.seq_q == 0) return;
    constexpr Index few = 8;
    const bool short_queries = s.seq_q <= few && s.seq_q * (s.heads / s.kv_heads) <= few * few;
    if (s.seq_kv > 0 && (s.seq_q == 1 || short_queries))
        attention_decode(s, q, k, v, o, lse, threads);
    else
        attention_blocks(s, q, k, v, o, lse, threads);
}

template void attention_forward(const AttentionShape&, const float*, const float*, const float*, float*, float*, int);
template void attention_forward(const AttentionShape&, const bf16*, const bf16*, const bf16*, bf16*, float*, int);

}  // namespace wb::cpu
