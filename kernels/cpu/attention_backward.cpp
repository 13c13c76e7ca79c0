#include <omp.h>

#include <atomic>
#include <limits>
#include <numbers>
#include <thread>
#include <vector>

#include "kernels/cpu/attention_tile.hpp"

namespace wb::cpu {

using namespace tile;
using simd::Vec;

namespace {

constexpr Index block = 192;     // query rows and keys of one tile: a multiple of micro_rows and of panel
constexpr Index band_rows = 24;  // rows or keys handled together where a mask cuts the tile
constexpr float log2e = std::numbers::log2e_v<float>;

/// One kv head and the query heads that read it, in float. k_panels, v_panels: transposed in panels; the rest rows of
/// padded width. dq is the running sum over key blocks.
struct HeadGroup {
    float *k, *k_panels, *v_panels;     // once
    float *q, *d_o, *dq, *lse, *delta;  // per query head, heads after one another; lse in units of log2

    static Index floats(const AttentionShape& s) {
        const Index keys = round_up(s.seq_kv, panel), width = padded(s.head_dim), group = s.heads / s.kv_heads;
        return round_up(s.seq_kv * width + keys * (s.head_dim + s.v_head_dim) +
                            group * s.seq_q * (2 * width + padded(s.v_head_dim) + 2),
                        16);
    }
    HeadGroup(const AttentionShape& s, float* memory) {
        const Index keys = round_up(s.seq_kv, panel), width = padded(s.head_dim);
        const Index rows = s.heads / s.kv_heads * s.seq_q;
        k = memory;
        k_panels = k + s.seq_kv * width;
        v_panels = k_panels + keys * s.head_dim;
        q = v_panels + keys * s.v_head_dim;
        d_o = q + rows * width;
        dq = d_o + rows * padded(s.v_head_dim);
        lse = dq + rows * width;
        delta = lse + rows;
    }
};

/// One thread's working memory: two tiles, and the gradients of one key block.
struct Scratch {
    float *p, *ds, *dk, *dv;
    static Index floats(const AttentionShape& s) {
        return block * (2 * block + padded(s.head_dim) + padded(s.v_head_dim));
    }
    Scratch(const AttentionShape& s, float* memory)
        : p(memory), ds(p + block * block), dk(ds + block * block), dv(dk + block * padded(s.head_dim)) {}
};

/// Query rows [row, row + rows) of query head `head` in the group against keys [key, key + keys).
struct Tile {
    Index head, row, rows, key, keys;
};

/// First query row that sees a key >= `key`, and one past the last that sees a key < `end`.
Span viewers(const AttentionShape& s, Index key, Index end) {
    const Index shift = s.seq_q - s.seq_kv;
    const Index low = s.causal ? std::clamp<Index>(key + shift, 0, s.seq_q) : 0;
    const Index high = s.window > 0 ? std::clamp<Index>(end - 1 + shift + s.window, low, s.seq_q) : s.seq_q;
    return {low, high};
}

/// p = 2^(score - lse), ds = p (dp - delta); zero where masked. Rows of scores and dp are overwritten in place.
void differentiate(float* p, float* ds, Span span, Index keys, float factor, float lse, float delta) {
    const Index from = span.low / simd::width * simd::width;
    const Index to = span.high > span.low ? round_up(span.high, simd::width) : from;
    for (Index j = from; j < to; j += simd::width) {
        const Vec x = simd::exp2(simd::load(p + j) * factor - lse);
        simd::store(p + j, x);
        simd::store(ds + j, x * (simd::load(ds + j) - delta));
    }
    for (float* row : {p, ds}) {
        std::fill(row, row + span.low, 0.0F);
        std::fill(row + span.high, row + padded(keys), 0.0F);
    }
}

/// Fills mine.p and mine.ds.
void fill_tile(const AttentionShape& s, const HeadGroup& g, const Tile& t, bool cut, const Scratch& mine) {
    const Index width = padded(s.head_dim), v_width = padded(s.v_head_dim);
    const Index stride = cut ? band_rows : t.rows;
    for (Index first = 0; first < t.rows; first += stride) {
        const Index rows = std::min(stride, t.rows - first), row = t.head * s.seq_q + t.row + first;
        const Span band{visible(s, t.row + first, t.key, t.keys).low,
                        visible(s, t.row + first + rows - 1, t.key, t.keys).high};
        if (band.low < band.high) {
            const Index from = band.low / panel * panel, columns = padded(band.high - from);
            multiply({rows, columns, s.head_dim, g.q + row * width, width, 1, g.k_panels + (t.key + from) * s.head_dim,
                      panel, panel * s.head_dim, mine.p + first * block + from, block},
                     Keep::nothing);
            multiply({rows, columns, s.v_head_dim, g.d_o + row * v_width, v_width, 1,
                      g.v_panels + (t.key + from) * s.v_head_dim, panel, panel * s.v_head_dim,
                      mine.ds + first * block + from, block},
                     Keep::nothing);
        }
        for (Index i = 0; i < rows; ++i)
            differentiate(mine.p + (first + i) * block, mine.ds + (first + i) * block,
                          visible(s, t.row + first + i, t.key, t.keys), t.keys, s.scale * log2e, g.lse[row + i],
                          g.delta[row + i]);
    }
}

/// dv += p^T d_o, dk += ds^T q, over the rows that see each band of keys.
void add_key_gradients(const AttentionShape& s, const HeadGroup& g, const Tile& t, bool cut, const Scratch& mine) {
    const Index width = padded(s.head_dim), v_width = padded(s.v_head_dim);
    const Index stride = cut ? band_rows : t.keys;
    for (Index key = 0; key < t.keys; key += stride) {
        const Index keys = std::min(stride, t.keys - key);
        const Span seen = viewers(s, t.key + key, t.key + key + keys);
        const Index low = std::max(seen.low, t.row), high = std::min(seen.high, t.row + t.rows);
        if (low >= high) continue;
        const Index from = (low - t.row) * block + key, row = t.head * s.seq_q + low;
        multiply({keys, v_width, high - low, mine.p + from, 1, block, g.d_o + row * v_width, v_width, panel,
                  mine.dv + key * v_width, v_width},
                 Keep::all);
        multiply({keys, width, high - low, mine.ds + from, 1, block, g.q + row * width, width, panel,
                  mine.dk + key * width, width},
                 Keep::all);
    }
}

/// dq += ds k.
void add_query_gradient(const AttentionShape& s, const HeadGroup& g, const Tile& t, bool cut, const Scratch& mine) {
    const Index width = padded(s.head_dim), stride = cut ? band_rows : t.rows;
    for (Index first = 0; first < t.rows; first += stride) {
        const Index rows = std::min(stride, t.rows - first), row = t.head * s.seq_q + t.row + first;
        const Span band{visible(s, t.row + first, t.key, t.keys).low,
                        visible(s, t.row + first + rows - 1, t.key, t.keys).high};
        if (band.low >= band.high) continue;
        multiply({rows, width, band.high - band.low, mine.ds + first * block + band.low, block, 1,
                  g.k + (t.key + band.low) * width, width, panel, g.dq + row * width, width},
                 Keep::all);
    }
}

/// Number of key blocks whose contribution to each (kv head, query head, query block) is in: thus dq is summed in the
/// order of the key blocks whoever computes them, and by one thread at a time.
class Turns {
public:
    Turns(Index count) : done_(static_cast<std::size_t>(count)) {}
    void wait(Index which, Index turn) const {
        while (done_[static_cast<std::size_t>(which)].load(std::memory_order_acquire) != turn)
            std::this_thread::yield();
    }
    void advance(Index which) { done_[static_cast<std::size_t>(which)].fetch_add(1, std::memory_order_release); }
    void reset(Index from, Index to) {
        for (Index i = from; i < to; ++i) done_[static_cast<std::size_t>(i)].store(0, std::memory_order_relaxed);
    }

private:
    std::vector<std::atomic<Index>> done_;
};

template <class T>
struct Tensors {
    const T *q, *k, *v, *o;
    const float* lse;
    const T* d_o;
    T *dq, *dk, *dv;
};

/// One kv head: where it lies, and its place in the wave.
struct Place {
    Index batch, kv_head, slot;
};

template <class T>
void load_keys(const AttentionShape& s, const Tensors<T>& x, const Place& at, Index key, const HeadGroup& g) {
    const Index rows = std::min(panel, s.seq_kv - key);
    const T* k = x.k + at.batch * s.k.batch + at.kv_head * s.k.head + key * s.k.seq;
    const T* v = x.v + at.batch * s.v.batch + at.kv_head * s.v.head + key * s.v.seq;
    stage_rows(k, s.k.seq, rows, s.head_dim, g.k + key * padded(s.head_dim));
    stage_transposed(k, s.k.seq, rows, s.head_dim, g.k_panels + key * s.head_dim);
    stage_transposed(v, s.v.seq, rows, s.v_head_dim, g.v_panels + key * s.v_head_dim);
}

template <class T>
void load_queries(const AttentionShape& s, const Tensors<T>& x, const Place& at, Index head, Index first,
                  const HeadGroup& g) {
    const Index width = padded(s.head_dim), v_width = padded(s.v_head_dim);
    const Index h = at.kv_head * (s.heads / s.kv_heads) + head;
    for (Index i = first; i < std::min(first + block, s.seq_q); ++i) {
        const Index row = head * s.seq_q + i, out = at.batch * s.o.batch + h * s.o.head + i * s.o.seq;
        stage_rows(x.q + at.batch * s.q.batch + h * s.q.head + i * s.q.seq, 0, 1, s.head_dim, g.q + row * width);
        stage_rows(x.d_o + out, 0, 1, s.v_head_dim, g.d_o + row * v_width);
        std::fill(g.dq + row * width, g.dq + (row + 1) * width, 0.0F);
        float delta = 0.0F;
        for (Index j = 0; j < s.v_head_dim; ++j) delta += to_float(x.o[out + j]) * to_float(x.d_o[out + j]);
        g.delta[row] = delta;
        const float lse = x.lse[(at.batch * s.heads + h) * s.seq_q + i] * log2e;
        const float infinity = std::numeric_limits<float>::infinity();
        g.lse[row] = lse == -infinity ? infinity : lse;  // a row that saw nothing: p = 0
    }
}

/// All query rows against one key block; writes its dk and dv.
template <class T>
void sweep(const AttentionShape& s, const Tensors<T>& x, const Place& at, Index key, const HeadGroup& g, Turns& turns,
           const Scratch& mine) {
    const Index width = padded(s.head_dim), v_width = padded(s.v_head_dim), keys = std::min(block, s.seq_kv - key);
    const Index group = s.heads / s.kv_heads, blocks = ceil_div(s.seq_q, block);
    std::fill(mine.dk, mine.dk + keys * width, 0.0F);
    std::fill(mine.dv, mine.dv + keys * v_width, 0.0F);
    const Span seen = viewers(s, key, key + keys);
    for (Index head = 0; head < group; ++head)
        for (Index row = 0; row < s.seq_q; row += block) {
            const Index turn = (at.slot * group + head) * blocks + row / block;
            const Tile t{head, row, std::min(block, s.seq_q - row), key, keys};
            const bool empty = row >= seen.high || row + t.rows <= seen.low;
            const bool cut = visible(s, row, key, keys).high < keys || visible(s, row + t.rows - 1, key, keys).low > 0;
            if (!empty) {
                fill_tile(s, g, t, cut, mine);
                add_key_gradients(s, g, t, cut, mine);
            }
            turns.wait(turn, key / block);
            if (!empty) add_query_gradient(s, g, t, cut, mine);
            turns.advance(turn);
        }
    unstage_rows(mine.dk, keys, s.head_dim, s.scale,
                 x.dk + at.batch * s.k.batch + at.kv_head * s.k.head + key * s.k.seq, s.k.seq);
    unstage_rows(mine.dv, keys, s.v_head_dim, 1.0F, x.dv + at.batch * s.v.batch + at.kv_head * s.v.head + key * s.v.seq,
                 s.v.seq);
}

/// Heads in waves, so that the working copies stay bounded. Key blocks are handed out in order: the lowest unfinished
/// one never waits, so neither does the whole for ever.
template <class T>
void run(const AttentionShape& s, const Tensors<T>& x, int threads) {
    const Index total = s.batch * s.kv_heads, group = s.heads / s.kv_heads;
    const Index head_floats = HeadGroup::floats(s), scratch_floats = round_up(Scratch::floats(s), 16);
    const Index wave = std::clamp<Index>(workspace_bytes / (head_floats * 4), 1, total);
    const Index panels = ceil_div(s.seq_kv, panel), row_blocks = ceil_div(s.seq_q, block);
    const Index key_blocks = ceil_div(s.seq_kv, block);
    const Buffer heads(head_floats * wave), scratch(scratch_floats * threads);
    Turns turns(wave * group * row_blocks);
    std::vector<std::atomic<Index>> next(static_cast<std::size_t>(ceil_div(total, wave)));
#pragma omp parallel num_threads(threads)
    {
        const Scratch mine(s, scratch.data() + scratch_floats * omp_get_thread_num());
        const auto group_of = [&](Index slot) { return HeadGroup(s, heads.data() + slot * head_floats); };
        for (Index start = 0; start < total; start += wave) {
            const Index now = std::min(wave, total - start);
            const auto place = [&](Index i) { return Place{(start + i) / s.kv_heads, (start + i) % s.kv_heads, i}; };
#pragma omp for schedule(static) nowait
            for (Index i = 0; i < now * panels; ++i)
                load_keys(s, x, place(i / panels), i % panels * panel, group_of(i / panels));
#pragma omp for schedule(static)
            for (Index i = 0; i < now * group * row_blocks; ++i) {
                const Index slot = i / (group * row_blocks);
                turns.reset(i, i + 1);
                load_queries(s, x, place(slot), i / row_blocks % group, i % row_blocks * block, group_of(slot));
            }
            std::atomic<Index>& counter = next[static_cast<std::size_t>(start / wave)];
            for (Index i = counter.fetch_add(1); i < now * key_blocks; i = counter.fetch_add(1))
                sweep(s, x, place(i / key_blocks), i % key_blocks * block, group_of(i / key_blocks), turns, mine);
#pragma omp barrier
#pragma omp for schedule(static)
            for (Index i = 0; i < now * group * s.seq_q; ++i) {
                const Index slot = i / (group * s.seq_q), row = i % (group * s.seq_q);
                const Index h = place(slot).kv_head * group + row / s.seq_q;
                unstage_rows(group_of(slot).dq + row * padded(s.head_dim), 1, s.head_dim, s.scale,
                             x.dq + place(slot).batch * s.q.batch + h * s.q.head + row % s.seq_q * s.q.seq, 0);
            }
        }
    }
}

}  // namespace

template <class T>
void attention_backward(const AttentionShape& s, const T* q, const T* k, const T* v, const T* o, const float* lse,
                        const T* d_o, T* dq, T* dk, T* dv, int threads) {
    expect_valid(s, threads);
    if (s.batch == 0) return;
    run<T>(s, {q, k, v, o, lse, d_o, dq, dk, dv}, threads);
}

template void attention_backward(const AttentionShape&, const float*, const float*, const float*, const float*,
                                 const float*, const float*, float*, float*, float*, int);
template void attention_backward(const AttentionShape&, const bf16*, const bf16*, const bf16*, const bf16*,
                                 const float*, const bf16*, bf16*, bf16*, bf16*, int);

}  // namespace wb::cpu
