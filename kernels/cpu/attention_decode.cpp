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

constexpr Index split_keys = 512;             // keys of one task; fixed, so that the bits do not depend on the threads
constexpr Index stage_keys = 16;              // keys of one head worked on between two heads; a multiple of simd::width
constexpr Index score_row = split_keys + 16;  // not a power of two, which few sets of a cache would hold
constexpr Index bytes_ahead = Index{16} << 10;            // of what is asked for, at least, before what is worked on
constexpr Index most_scores = 64;                         // rows of scores of one task: 132 KB
constexpr int most_rows = simd::registers == 32 ? 8 : 4;  // query rows that share one load of a key
constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

/// A cache is read a chunk at a time. One of bf16 becomes two vectors, the even elements and the odd ones, for one
/// instruction each; what meets them (queries, outputs) has its columns in that order, which place() gives.
template <class T>
inline constexpr int vectors = sizeof(float) / sizeof(T);
template <class T>
inline constexpr Index chunk = vectors<T>* simd::width;

Index place(Index x, bool paired) {
    constexpr Index w = simd::width;
    return paired ? x / (2 * w) * (2 * w) + x % 2 * w + x % (2 * w) / 2 : x;
}

void load_chunk(const float* from, Vec (&to)[1]) { to[0] = simd::load(from); }
void load_chunk(const bf16* from, Vec (&to)[2]) {
    simd::IntVec bits;
    std::memcpy(&bits, from, sizeof bits);
    to[0] = reinterpret_cast<Vec>(bits << 16);
    to[1] = reinterpret_cast<Vec>(bits & static_cast<std::int32_t>(0xffff0000U));
}

#if defined(__AVX512BF16__)
/// Whether products of bf16 are summed in pairs as they lie, without a conversion: in float, like the others.
template <class K>
inline constexpr bool pairwise = std::is_same_v<K, bf16>;
Vec add_pairs(Vec sum, const float* q, const bf16* k) {
    __m512bh a, b;
    std::memcpy(&a, q, sizeof a);
    std::memcpy(&b, k, sizeof b);
    return _mm512_dpbf16_ps(sum, a, b);
}
#else
template <class K>
inline constexpr bool pairwise = false;
#endif

/// What a task needs next, asked for line by line in the order of memory while it works on what came before: the
/// processor's own look-ahead stops during the work, and all at once is more than it can keep track of. Past the
/// tensor's end this asks in vain.
class Ahead {
public:
    Ahead() = default;
    /// `rows` rows of `bytes` bytes, `stride` bytes apart, `distance` bytes past `from`.
    Ahead(const void* from, Index distance, Index bytes, Index stride, Index rows)
        : at_(reinterpret_cast<std::uintptr_t>(from) + static_cast<std::uintptr_t>(distance)),
          left_(bytes),
          bytes_(bytes),
          skip_(stride - bytes),
          rows_(rows) {}
    [[gnu::always_inline]] void ask() {
        if (rows_ <= 0) return;
        __builtin_prefetch(reinterpret_cast<const void*>(at_), 0, 3);  // NOLINT(performance-no-int-to-ptr)
        const Index step = std::min(line, left_);
        at_ += static_cast<std::uintptr_t>(step);
        left_ -= step;
        if (left_ > 0) return;
        --rows_;
        at_ += static_cast<std::uintptr_t>(skip_);
        left_ = bytes_;
    }

private:
    static constexpr Index line = 64;
    std::uintptr_t at_ = 0;  // no pointer may leave its array, a number may
    Index left_ = 0, bytes_ = 0, skip_ = 0, rows_ = 0;
};

/// One chunk of `columns` keys times the same of `rows` queries `width` floats apart.
template <int rows, int columns, class K>
[[gnu::always_inline]] inline void add_products(const float* q, Index width, const K* const (&key)[columns], Index x,
                                                Vec (&acc)[rows * columns]) {
#if defined(__AVX512BF16__)
    if constexpr (pairwise<K>) {
        simd::repeat<rows * columns>(
            [&](auto n) { acc[n] = add_pairs(acc[n], q + n / columns * width + x / 2, key[n % columns] + x); });
        return;
    }
#endif
    if constexpr (!pairwise<K>) {
        Vec from[columns][vectors<K>];
        simd::repeat<columns>([&](auto c) { load_chunk(key[c] + x, from[c]); });
        simd::repeat<vectors<K>>([&](auto v) {
            simd::repeat<rows>([&](auto r) {
                const Vec line = simd::load(q + r * width + x + v * simd::width);
                simd::repeat<columns>([&](auto c) { acc[r * columns + c] += line * from[c][v]; });
            });
        });
    }
}

/// Rows of a cache, `stride` elements apart, and what to touch while reading them.
template <class T>
struct Rows {
    const T* first;
    Index stride, width;
    Ahead* ahead;
};

/// Scores of `rows` query rows against all keys: simd::width products at a time, `rows` x width / rows of them.
/// q [rows][width]. Past the last key the scores repeat it.
template <int rows, class K>
void dots(const float* q, const Rows<K>& k, Index keys, float factor, float* scores) {
    constexpr int span = simd::width / rows, columns = std::min(rows == 1 ? 8 : 4, span);
    constexpr int size = rows * columns;  // held in registers
    Ahead ahead = *k.ahead;
    for (Index j = 0; j < keys; j += span) {
        Vec all[simd::width];
        simd::repeat<span / columns>([&](auto part) {
            const K* key[columns];
            simd::repeat<columns>(
                [&](auto c) { key[c] = k.first + std::min<Index>(j + part * columns + c, keys - 1) * k.stride; });
            Vec acc[size] = {};
            for (Index x = 0; x < k.width; x += chunk<K>) {
                simd::repeat<columns>([&](auto) { ahead.ask(); });
                add_products<rows, columns>(q, k.width, key, x, acc);
            }
            simd::repeat<size>([&](auto n) { all[n / columns * span + part * columns + n % columns] = acc[n]; });
        });
        float lane[simd::width];
        simd::store(lane, simd::sums(all) * factor);
        for (int r = 0; r < rows; ++r) std::memcpy(scores + r * score_row + j, lane + r * span, span * 4);
    }
    *k.ahead = ahead;
}

/// out [rows][width] (+)= p v: one corner of it in registers while the keys go by.
template <int rows, int chunks, class V>
void weigh_corner(const float* p, const Rows<V>& v, Index x, Index keys, float* out, bool first) {
    constexpr int across = chunks * vectors<V>;
    Vec acc[rows * across] = {};
    const auto at = [&](int n) { return out + n / across * v.width + x + n % across * simd::width; };
    if (!first) simd::repeat<rows * across>([&](auto n) { acc[n] = simd::load(at(n)); });
    const V* from = v.first + x;
    Ahead ahead = *v.ahead;
    for (Index j = 0; j < keys; ++j, from += v.stride) {
        Vec line[chunks][vectors<V>];
        simd::repeat<chunks>([&](auto c) {
            ahead.ask();
            load_chunk(from + c * chunk<V>, line[c]);
        });
        simd::repeat<rows>([&](auto r) {
            const Vec weight = simd::broadcast(p[r * score_row + j]);
            simd::repeat<across>([&](auto n) { acc[r * across + n] += weight * line[n / vectors<V>][n % vectors<V>]; });
        });
    }
    simd::repeat<rows * across>([&](auto n) { simd::store(at(n), acc[n]); });
    *v.ahead = ahead;
}

template <int rows, class V>
void weigh(const float* p, const Rows<V>& v, Index keys, float* out, bool first) {
    constexpr int wide = std::max(1, (simd::registers == 32 && rows <= 4 ? 4 : 2) / vectors<V>);
    Index x = 0;
    for (; x + wide * chunk<V> <= v.width; x += wide * chunk<V>) weigh_corner<rows, wide>(p, v, x, keys, out, first);
    for (; x < v.width; x += chunk<V>) weigh_corner<rows, 1>(p, v, x, keys, out, first);
}

/// body.template operator()<n>(first row) for rows in groups of 8, 4, 2 and 1.
template <int n = most_rows, class Body>
void by_rows(Index rows, const Body& body, Index r = 0) {
    for (; r + n <= rows; r += n) body.template operator()<n>(r);
    if constexpr (n > 1) by_rows<n / 2>(rows, body, r);
}

/// One task: `keys` keys from `first` of `heads` kv heads from `head`, for all query rows (group x seq_q) that read
/// them. Heads that lie beside each other in memory are one task, so that memory is read from end to end.
struct Task {
    Index batch, head, heads, first, keys;
};

struct Scratch {
    float *scores, *staged;
    static Index floats(const AttentionShape& s, Index rows) {
        return rows * score_row + stage_keys * std::max(padded(s.head_dim), padded(s.v_head_dim));
    }
    Scratch(Index rows, float* memory) : scores(memory), staged(memory + rows * score_row) {}
};

/// Whether rows of so many elements are read as they lie: in whole chunks. Else from a copy in float.
template <class T>
bool direct(Index columns) {
    return columns % chunk<T> == 0;
}

/// Calls body(head of the task, its rows, first key, keys), a few keys of every head before the next few.
template <class T, class Body>
void each_stage(const T* cache, const Strides& strides, const Task& t, Index columns, float* staged, Body body) {
    const T* from = cache + t.batch * strides.batch + t.head * strides.head + t.first * strides.seq;
    const Index piece = ((t.heads - 1) * strides.head + columns) * Index{sizeof(T)};
    const Index stride = strides.seq * Index{sizeof(T)};
    const Index distance = ceil_div(bytes_ahead, std::max<Index>(1, stage_keys * stride)) * stage_keys;
    for (Index j = 0; j < t.keys; j += stage_keys) {
        Ahead ahead(from + j * strides.seq, distance * stride, piece, stride, std::min(stage_keys, t.keys - j));
        for (Index h = 0; h < t.heads; ++h) {
            const Index now = std::min(stage_keys, t.keys - j);
            const T* here = from + h * strides.head + j * strides.seq;
            if (direct<T>(columns)) {
                body(h, Rows<T>{here, strides.seq, columns, &ahead}, j, now);
            } else {
                stage_rows(here, strides.seq, now, columns, staged);
                body(h, Rows<float>{staged, padded(columns), padded(columns), &ahead}, j, now);
            }
        }
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

/// What tasks leave for the join, a kv head's splits together: [kv heads of all batches][splits][rows], and of `out`
/// [width] each: maximum, sum and unnormalised output.
struct Parts {
    Index splits, rows, width;
    float *high, *sum, *out;
    Parts(Index total, Index splits_, Index rows_, Index width_, float* memory)
        : splits(splits_),
          rows(rows_),
          width(width_),
          high(memory),
          sum(high + total * splits * rows),
          out(sum + total * splits * rows) {}
    static Index floats(Index total, Index splits, Index rows, Index width) {
        return total * splits * rows * (width + 2);
    }
    Index at(Index kv, Index split) const { return (kv * splits + split) * rows; }
};

/// `split`: which of a head's the task is.
template <class T>
void partial(const AttentionShape& s, const float* queries, const T* k, const T* v, const Task& t, Index split,
             const Scratch& mine, const Parts& parts) {
    const Index rows = parts.rows, kv = t.batch * s.kv_heads + t.head, q_width = padded(s.head_dim);
    const float factor = s.scale * std::numbers::log2e_v<float>;
    const auto scores = [&](Index h, Index r) { return mine.scores + (h * rows + r) * score_row; };
    each_stage(k, s.k, t, s.head_dim, mine.staged, [&](Index h, const auto& from, Index j, Index keys) {
        const float* q = queries + (kv + h) * rows * q_width;
        by_rows(rows, [&]<int n>(Index r) { dots<n>(q + r * q_width, from, keys, factor, scores(h, r) + j); });
    });
    for (Index i = 0; i < t.heads * rows; ++i) {
        const Index to = parts.at(kv + i / rows, split) + i % rows;
        soften(scores(0, i), visible(s, i % rows % s.seq_q, t.first, t.keys), t.keys, parts.high[to], parts.sum[to]);
    }
    each_stage(v, s.v, t, s.v_head_dim, mine.staged, [&](Index h, const auto& from, Index j, Index keys) {
        float* out = parts.out + parts.at(kv + h, split) * parts.width;
        by_rows(rows, [&]<int n>(Index r) { weigh<n>(scores(h, r) + j, from, keys, out + r * parts.width, j == 0); });
    });
}

/// Joins the splits of row r of a kv head, in order. Overwrites the first one's output.
template <class T>
void join(const Parts& p, Index kv, Index r, Index columns, T* o, float* lse) {
    float highest = minus_infinity, total = 0.0F;
    for (Index n = 0; n < p.splits; ++n) highest = std::max(highest, p.high[p.at(kv, n) + r]);
    const float base = highest == minus_infinity ? 0.0F : highest;
    float* const out = p.out + (p.at(kv, 0) + r) * p.width;
    for (Index n = 0; n < p.splits; ++n) {
        const float factor = std::exp2(p.high[p.at(kv, n) + r] - base);
        const float* part = p.out + (p.at(kv, n) + r) * p.width;
        total += p.sum[p.at(kv, n) + r] * factor;
        for (Index x = 0; x < p.width; x += simd::width)
            simd::store(out + x, (n == 0 ? Vec{} : simd::load(out + x)) + simd::load(part + x) * factor);
    }
    const float factor = total == 0.0F ? 0.0F : 1.0F / total;
    const bool paired = vectors<T> == 2 && direct<T>(columns);
    for (Index x = 0; x < columns; ++x) o[x] = from_float<T>(out[place(x, paired)] * factor);
    if (lse != nullptr) *lse = total == 0.0F ? minus_infinity : highest * std::numbers::ln2_v<float> + std::log(total);
}

/// A query as the keys meet it: as it is where products are pairwise, else in float and in the order of a chunk.
template <class T>
void stage_query(const T* from, Index columns, float* to) {
    if (pairwise<T> && direct<T>(columns)) {
        std::memcpy(to, from, static_cast<std::size_t>(columns) * sizeof(T));
        return;
    }
    const bool paired = vectors<T> == 2 && direct<T>(columns);
    std::fill(to + columns, to + padded(columns), 0.0F);
    for (Index x = 0; x < columns; ++x) to[place(x, paired)] = to_float(from[x]);
}

/// How many kv heads one task takes: those beside each other, as long as every thread has a few tasks.
Index heads_together(const AttentionShape& s, Index rows, Index splits, int threads) {
    if (s.k.head >= s.k.seq || s.v.head >= s.v.seq) return 1;
    Index heads = std::clamp<Index>(most_scores / rows, 1, s.kv_heads);
    while (heads > 1 && s.batch * splits * ceil_div(s.kv_heads, heads) < 4 * threads) heads = ceil_div(heads, 2);
    return heads;
}

}  // namespace

template <class T>
void attention_decode(const AttentionShape& s, const T* q, const T* k, const T* v, T* o, float* lse, int threads) {
    const Index group = s.heads / s.kv_heads, rows = group * s.seq_q, total = s.batch * s.kv_heads;
    const Index q_width = padded(s.head_dim), width = padded(s.v_head_dim);
    const Index key_low = visible(s, 0, 0, s.seq_kv).low / split_keys * split_keys;
    const Index splits = ceil_div(std::max<Index>(s.seq_kv - key_low, 1), split_keys);
    const Index together = heads_together(s, rows, splits, threads), blocks = ceil_div(s.kv_heads, together);
    const Index scratch_floats = round_up(Scratch::floats(s, together * rows), 16);
    const Buffer queries(total * rows * q_width), memory(Parts::floats(total, splits, rows, width));
    const Buffer scratch(scratch_floats * threads);
    const Parts parts(total, splits, rows, width, memory.data());
    const auto head = [&](Index i) { return i / rows % s.kv_heads * group + i % rows / s.seq_q; };
#pragma omp parallel num_threads(threads)
    {
        const Scratch mine(together * rows, scratch.data() + scratch_floats * omp_get_thread_num());
#pragma omp for schedule(static)
        for (Index i = 0; i < total * rows; ++i)
            stage_query(q + i / rows / s.kv_heads * s.q.batch + head(i) * s.q.head + i % s.seq_q * s.q.seq, s.head_dim,
                        queries.data() + i * q_width);
#pragma omp for schedule(dynamic, 1)
        for (Index i = 0; i < s.batch * splits * blocks; ++i) {
            const Index split = i / blocks % splits, first = key_low + split * split_keys, h = i % blocks * together;
            const Task task{i / blocks / splits, h, std::min(together, s.kv_heads - h), first,
                            std::min(split_keys, s.seq_kv - first)};
            partial(s, queries.data(), k, v, task, split, mine, parts);
        }
#pragma omp for schedule(static)
        for (Index i = 0; i < total * rows; ++i) {
            const Index b = i / rows / s.kv_heads;
            join(parts, i / rows, i % rows, s.v_head_dim,
                 o + b * s.o.batch + head(i) * s.o.head + i % s.seq_q * s.o.seq,
                 lse == nullptr ? nullptr : lse + (b * s.heads + head(i)) * s.seq_q + i % s.seq_q);
        }
    }
}

template void attention_decode(const AttentionShape&, const float*, const float*, const float*, float*, float*, int);
template void attention_decode(const AttentionShape&, const bf16*, const bf16*, const bf16*, bf16*, float*, int);

}  // namespace wb::cpu
