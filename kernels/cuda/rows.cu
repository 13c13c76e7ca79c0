#include <limits>

#include "kernels/cuda/kernels.hpp"
#include "kernels/cuda/launch.hpp"

namespace wb::cuda {
namespace {

constexpr int most_threads = 512;
constexpr std::int64_t most_kept = 40 << 10;  // bytes of a row kept in shared memory, beside the sums of its warps
constexpr std::size_t sums_bytes = 128;       // a float for each warp

/// One row of packs as its block reads it: the first time from global memory, then from shared memory, where it fits.
/// A thread comes back to its own packs only, so nothing needs a barrier.
template <class T, int V>
struct Row {
    const T* from;
    T* kept;
    std::int64_t packs;

    template <class F>
    WB_DEVICE void first(const F& f) const {
        for (std::int64_t p = thread_index(); p < packs; p += block_threads()) {
            const Pack<T, V> x = load<T, V>(from, p);
            if (kept) store<T, V>(kept, p, x);
            for (int v = 0; v < V; ++v) f(to_float(x.at[v]));
        }
    }
    template <class F>
    WB_DEVICE void again(const F& f) const {
        for (std::int64_t p = thread_index(); p < packs; p += block_threads()) f(p, load<T, V>(kept ? kept : from, p));
    }
};

template <class T, int V>
WB_DEVICE Row<T, V> row_of(const T* x, std::int64_t row, std::int64_t columns, bool keep) {
    return {x + row * columns, keep ? reinterpret_cast<T*>(shared_memory() + sums_bytes) : nullptr, columns / V};
}

struct Moments {
    float mean, inverse;
};

/// Of the row just read, in two passes: the centred squares do not cancel.
template <class T, int V>
WB_DEVICE Moments moments(const Row<T, V>& row, std::int64_t columns, const Norm& how) {
    float* const sums = reinterpret_cast<float*>(shared_memory());
    float sum = 0;
    row.first([&](float x) { sum += how.centred ? x : x * x; });
    const float mean_of = block_sum(sum, sums) / static_cast<float>(columns);
    if (!how.centred) return {0, 1.0F / sqrtf(mean_of + how.eps)};
    float squares = 0;
    row.again([&](std::int64_t, const Pack<T, V>& x) {
        for (int v = 0; v < V; ++v) squares += (to_float(x.at[v]) - mean_of) * (to_float(x.at[v]) - mean_of);
    });
    const float variance = block_sum(squares, sums) / static_cast<float>(columns);
    return {mean_of, 1.0F / sqrtf(variance + how.eps)};
}

template <class T, int V>
WB_KERNEL(most_threads)
norm_kernel(const T* x, const T* gamma, const T* beta, T* y, bool keep, Norm how) {
    const std::int64_t columns = how.shape.columns, at = block_x();
    const Row<T, V> row = row_of<T, V>(x, at, columns, keep);
    const Moments m = moments(row, columns, how);
    row.again([&](std::int64_t p, const Pack<T, V>& from) {
        const Pack<T, V> scale = load<T, V>(gamma, p);
        Pack<T, V> shift{}, to;
        if (how.centred) shift = load<T, V>(beta, p);
        for (int v = 0; v < V; ++v)
            to.at[v] = from_float<T>((to_float(from.at[v]) - m.mean) * m.inverse * to_float(scale.at[v]) +
                                     to_float(shift.at[v]));
        store<T, V>(y + at * columns, p, to);
    });
}

/// dx, and the row's moments for the sums over rows that follow.
template <class T, int V>
WB_KERNEL(most_threads)
norm_backward_kernel(const T* dy, const T* x, const T* gamma, T* dx, float* statistics, bool keep, Norm how) {
    const std::int64_t columns = how.shape.columns, at = block_x();
    const Row<T, V> row = row_of<T, V>(x, at, columns, keep);
    const Moments m = moments(row, columns, how);
    float* const sums = reinterpret_cast<float*>(shared_memory());
    float sum = 0, along = 0;  // of the gradient of the normalised row: its mean, and its part along the row
    row.again([&](std::int64_t p, const Pack<T, V>& from) {
        const Pack<T, V> scale = load<T, V>(gamma, p), d = load<T, V>(dy + at * columns, p);
        for (int v = 0; v < V; ++v) {
            const float g = to_float(d.at[v]) * to_float(scale.at[v]);
            sum += g;
            along += g * (to_float(from.at[v]) - m.mean) * m.inverse;
        }
    });
    const float mean = how.centred ? block_sum(sum, sums) / static_cast<float>(columns) : 0.0F;
    along = block_sum(along, sums) / static_cast<float>(columns);
    row.again([&](std::int64_t p, const Pack<T, V>& from) {
        const Pack<T, V> scale = load<T, V>(gamma, p), d = load<T, V>(dy + at * columns, p);
        Pack<T, V> to;
        for (int v = 0; v < V; ++v) {
            const float normal = (to_float(from.at[v]) - m.mean) * m.inverse;
            to.at[v] = from_float<T>(m.inverse * (to_float(d.at[v]) * to_float(scale.at[v]) - mean - normal * along));
        }
        store<T, V>(dx + at * columns, p, to);
    });
    if (thread_index() == 0) {
        statistics[2 * at] = m.mean;
        statistics[2 * at + 1] = m.inverse;
    }
}

constexpr int tile_columns = 32, tile_rows = 8;  // threads of a block of column sums; each a pack wide
constexpr std::int64_t most_chunks = 256;        // rows are cut into so many sums at most

std::int64_t chunks_of(const Matrix& shape) { return std::min<std::int64_t>(most_chunks, (shape.rows + 63) / 64); }

/// Sums over a chunk of rows: of dy, and, if `x` is given, of dy times the normalised x. `parts`: [2, chunks, columns].
template <class T, int V>
WB_KERNEL(tile_columns* tile_rows)
column_kernel(const T* dy, const T* x, const float* statistics, float* parts, std::int64_t chunk_rows, Matrix shape) {
    const int tx = thread_index() % tile_columns, ty = thread_index() / tile_columns;
    const std::int64_t pack = static_cast<std::int64_t>(block_x()) * tile_columns + tx, packs = shape.columns / V;
    const std::int64_t first = static_cast<std::int64_t>(block_y()) * chunk_rows;
    const std::int64_t past = first + chunk_rows < shape.rows ? first + chunk_rows : shape.rows;
    float plain[V] = {}, normal[V] = {};
    for (std::int64_t r = first + ty; pack < packs && r < past; r += tile_rows) {
        const Pack<T, V> d = load<T, V>(dy + r * shape.columns, pack);
        for (int v = 0; v < V; ++v) plain[v] += to_float(d.at[v]);
        if (!x) continue;
        const Pack<T, V> from = load<T, V>(x + r * shape.columns, pack);
        const float mean = statistics[2 * r], inverse = statistics[2 * r + 1];
        for (int v = 0; v < V; ++v) normal[v] += to_float(d.at[v]) * (to_float(from.at[v]) - mean) * inverse;
    }
    float* const tile = reinterpret_cast<float*>(shared_memory());  // [2, tile_rows, tile_columns, V]
    constexpr int line = tile_columns * V;
    for (int v = 0; v < V; ++v) {
        tile[ty * line + tx * V + v] = plain[v];
        tile[(tile_rows + ty) * line + tx * V + v] = normal[v];
    }
    sync_block();
    for (int i = thread_index(); i < 2 * line; i += tile_columns * tile_rows) {
        const std::int64_t column = static_cast<std::int64_t>(block_x()) * line + i % line;
        if (column >= shape.columns) continue;
        float sum = 0;
        for (int k = 0; k < tile_rows; ++k) sum += tile[(i / line * tile_rows + k) * line + i % line];
        parts[(static_cast<std::int64_t>(i / line) * blocks_y() + block_y()) * shape.columns + column] = sum;
    }
}

template <class T>
WB_KERNEL(flat_threads)
column_end_kernel(const float* parts, T* plain, T* normal, std::int64_t chunks, std::int64_t columns) {
    const std::int64_t j = static_cast<std::int64_t>(block_x()) * flat_threads + thread_index();
    if (j >= columns) return;
    float sums[2] = {0, 0};
    for (std::int64_t k = 0; k < chunks; ++k)
        for (int which = 0; which < 2; ++which) sums[which] += parts[(which * chunks + k) * columns + j];
    if (plain) plain[j] = from_float<T>(sums[0]);
    if (normal) normal[j] = from_float<T>(sums[1]);
}

template <class T>
void column_sums(Stream stream, const T* dy, const T* x, const float* statistics, T* plain, T* normal, float* parts,
                 const Matrix& shape) {
    const std::int64_t chunks = chunks_of(shape), chunk_rows = (shape.rows + chunks - 1) / chunks;
    const auto start = [&]<int V>(std::integral_constant<int, V>) {
        const std::int64_t packs = shape.columns / V;
        launch(stream, {(packs + tile_columns - 1) / tile_columns, chunks, 1}, tile_columns * tile_rows,
               2 * tile_rows * tile_columns * V * sizeof(float), column_kernel<T, V>, dy, x, statistics, parts,
               chunk_rows, shape);
    };
    if (packs_fit<T>(shape.columns, dy, x))
        start(std::integral_constant<int, widest<T>>{});
    else
        start(std::integral_constant<int, 1>{});
    launch(stream, {(shape.columns + flat_threads - 1) / flat_threads, 1, 1}, flat_threads, 0, column_end_kernel<T>,
           parts, plain, normal, chunks, shape.columns);
}

/// The largest value and the sum of exp(x - largest), of what has been seen so far.
struct Running {
    float largest, sum;
    WB_DEVICE void take(float x) {
        if (x > largest) {
            sum = sum * expf(largest - x) + 1.0F;
            largest = x;
        } else if (x > -std::numeric_limits<float>::infinity()) {
            sum += expf(x - largest);
        }
    }
};

/// Of all threads of the block.
WB_DEVICE Running together(Running mine, float* sums) {
    const float largest = block_max(mine.largest, sums);
    const float scaled = mine.sum > 0 ? mine.sum * expf(mine.largest - largest) : 0.0F;
    return {largest, block_sum(scaled, sums)};
}

template <class T, int V>
WB_KERNEL(most_threads)
softmax_kernel(const T* x, T* y, bool keep, Matrix shape) {
    const Row<T, V> row = row_of<T, V>(x, block_x(), shape.columns, keep);
    Running r{-std::numeric_limits<float>::infinity(), 0};
    row.first([&](float value) { r.take(value); });
    r = together(r, reinterpret_cast<float*>(shared_memory()));
    const float factor = 1.0F / r.sum;
    row.again([&](std::int64_t p, const Pack<T, V>& from) {
        Pack<T, V> to;
        for (int v = 0; v < V; ++v) to.at[v] = from_float<T>(expf(to_float(from.at[v]) - r.largest) * factor);
        store<T, V>(y + block_x() * shape.columns, p, to);
    });
}

template <class T, int V>
WB_KERNEL(most_threads)
softmax_backward_kernel(const T* dy, const T* y, T* dx, bool keep, Matrix shape) {
    const std::int64_t at = block_x() * shape.columns;
    const Row<T, V> row = row_of<T, V>(y, block_x(), shape.columns, keep);
    float sum = 0;
    row.first([](float) {});
    row.again([&](std::int64_t p, const Pack<T, V>& from) {
        const Pack<T, V> d = load<T, V>(dy + at, p);
        for (int v = 0; v < V; ++v) sum += to_float(d.at[v]) * to_float(from.at[v]);
    });
    const float mean = block_sum(sum, reinterpret_cast<float*>(shared_memory()));
    row.again([&](std::int64_t p, const Pack<T, V>& from) {
        const Pack<T, V> d = load<T, V>(dy + at, p);
        Pack<T, V> to;
        for (int v = 0; v < V; ++v) to.at[v] = from_float<T>(to_float(from.at[v]) * (to_float(d.at[v]) - mean));
        store<T, V>(dx + at, p, to);
    });
}

template <class T, int V>
WB_KERNEL(most_threads)
cross_entropy_kernel(const T* logits, const std::int32_t* target, float* loss, float* lse, float* parts,
                     std::int64_t offset, Matrix shape) {
    const std::int64_t at = block_x();
    const Row<T, V> row = row_of<T, V>(logits, at, shape.columns, false);
    Running r{-std::numeric_limits<float>::infinity(), 0};
    row.first([&](float value) { r.take(value); });
    r = together(r, reinterpret_cast<float*>(shared_memory()));
    if (thread_index() != 0) return;
    const std::int64_t t = target[at] - offset;
    const float of_target = t >= 0 && t < shape.columns ? to_float(logits[at * shape.columns + t]) : 0.0F;
    if (parts) {
        parts[3 * at] = r.largest;
        parts[3 * at + 1] = r.sum;
        parts[3 * at + 2] = of_target;
    } else {
        lse[at] = r.largest + logf(r.sum);
        loss[at] = lse[at] - of_target;
    }
}

template <class T, int V>
WB_KERNEL(most_threads)
cross_entropy_backward_kernel(const T* logits, const std::int32_t* target, const float* lse, T* dx, std::int64_t offset,
                              float scale, Matrix shape) {
    const std::int64_t at = block_x(), t = target[at] - offset;
    const float whole = lse[at];
    const Row<T, V> row = row_of<T, V>(logits, at, shape.columns, false);
    row.again([&](std::int64_t p, const Pack<T, V>& from) {
        Pack<T, V> to;
        for (int v = 0; v < V; ++v)
            to.at[v] = from_float<T>(scale * (expf(to_float(from.at[v]) - whole) - (p * V + v == t ? 1.0F : 0.0F)));
        store<T, V>(dx + at * shape.columns, p, to);
    });
}

WB_KERNEL(flat_threads)
join_kernel(const float* parts, float* loss, float* lse, std::int64_t rows, std::int64_t ranks) {
    const std::int64_t r = static_cast<std::int64_t>(block_x()) * flat_threads + thread_index();
    if (r >= rows) return;
    float largest = parts[3 * r], sum = 0, target = 0;
    for (std::int64_t k = 1; k < ranks; ++k) largest = fmaxf(largest, parts[3 * (k * rows + r)]);
    for (std::int64_t k = 0; k < ranks; ++k) {
        const float* const one = parts + 3 * (k * rows + r);
        sum += one[1] * expf(one[0] - largest);
        target += one[2];
    }
    lse[r] = largest + logf(sum);
    loss[r] = lse[r] - target;
}

/// start(V, threads, shared bytes, keep) for the widest pack that fits.
template <class T, class Start, class... Pointers>
void by_row(const Matrix& shape, bool may_keep, const Start& start, Pointers... at) {
    const std::int64_t bytes = shape.columns * static_cast<std::int64_t>(sizeof(T));
    const bool keep = may_keep && bytes <= most_kept;
    const std::size_t shared = sums_bytes + (keep ? static_cast<std::size_t>(bytes) : 0);
    if (packs_fit<T>(shape.columns, at...))
        start(std::integral_constant<int, widest<T>>{}, threads_for(shape.columns / widest<T>, most_threads), shared,
              keep);
    else
        start(std::integral_constant<int, 1>{}, threads_for(shape.columns, most_threads), shared, keep);
}

}  // namespace

std::int64_t column_scratch(const Matrix& shape) { return 2 * chunks_of(shape) * shape.columns; }
std::int64_t norm_scratch(const Matrix& shape) { return 2 * shape.rows + column_scratch(shape); }

void norm(Stream stream, DType type, const void* x, const void* gamma, const void* beta, void* y, const Norm& how) {
    with_type(type, [&]<class T>(T) {
        by_row<T>(
            how.shape, true,
            [&]<int V>(std::integral_constant<int, V>, int threads, std::size_t shared, bool keep) {
                launch(stream, {how.shape.rows, 1, 1}, threads, shared, norm_kernel<T, V>, static_cast<const T*>(x),
                       static_cast<const T*>(gamma), static_cast<const T*>(beta), static_cast<T*>(y), keep, how);
            },
            x, gamma, beta, y);
    });
}

void norm_backward(Stream stream, DType type, const void* dy, const void* x, const void* gamma, void* dx, void* dgamma,
                   void* dbeta, float* scratch, const Norm& how) {
    with_type(type, [&]<class T>(T) {
        by_row<T>(
            how.shape, true,
            [&]<int V>(std::integral_constant<int, V>, int threads, std::size_t shared, bool keep) {
                launch(stream, {how.shape.rows, 1, 1}, threads, shared, norm_backward_kernel<T, V>,
                       static_cast<const T*>(dy), static_cast<const T*>(x), static_cast<const T*>(gamma),
                       static_cast<T*>(dx), scratch, keep, how);
            },
            dy, x, gamma, dx);
        column_sums<T>(stream, static_cast<const T*>(dy), static_cast<const T*>(x), scratch, static_cast<T*>(dbeta),
                       static_cast<T*>(dgamma), scratch + 2 * how.shape.rows, how.shape);
    });
}

void sum_rows(Stream stream, DType type, const void* x, void* y, float* scratch, const Matrix& shape) {
    with_type(type, [&]<class T>(T) {
        column_sums<T>(stream, static_cast<const T*>(x), nullptr, nullptr, static_cast<T*>(y), nullptr, scratch, shape);
    });
}

void softmax(Stream stream, DType type, const void* x, void* y, const Matrix& shape) {
    with_type(type, [&]<class T>(T) {
        by_row<T>(
            shape, true,
            [&]<int V>(std::integral_constant<int, V>, int threads, std::size_t shared, bool keep) {
                launch(stream, {shape.rows, 1, 1}, threads, shared, softmax_kernel<T, V>, static_cast<const T*>(x),
                       static_cast<T*>(y), keep, shape);
            },
            x, y);
    });
}

void softmax_backward(Stream stream, DType type, const void* dy, const void* y, void* dx, const Matrix& shape) {
    with_type(type, [&]<class T>(T) {
        by_row<T>(
            shape, true,
            [&]<int V>(std::integral_constant<int, V>, int threads, std::size_t shared, bool keep) {
                launch(stream, {shape.rows, 1, 1}, threads, shared, softmax_backward_kernel<T, V>,
                       static_cast<const T*>(dy), static_cast<const T*>(y), static_cast<T*>(dx), keep, shape);
            },
            dy, y, dx);
    });
}

void cross_entropy(Stream stream, DType type, const void* logits, const std::int32_t* target, float* loss, float* lse,
                   float* parts, std::int64_t offset, const Matrix& shape) {
    with_type(type, [&]<class T>(T) {
        by_row<T>(
            shape, false,
            [&]<int V>(std::integral_constant<int, V>, int threads, std::size_t shared, bool) {
                launch(stream, {shape.rows, 1, 1}, threads, shared, cross_entropy_kernel<T, V>,
                       static_cast<const T*>(logits), target, loss, lse, parts, offset, shape);
            },
            logits);
    });
}

void cross_entropy_backward(Stream stream, DType type, const void* logits, const std::int32_t* target, const float* lse,
                            void* dx, std::int64_t offset, float scale, const Matrix& shape) {
    with_type(type, [&]<class T>(T) {
        by_row<T>(
            shape, false,
            [&]<int V>(std::integral_constant<int, V>, int threads, std::size_t shared, bool) {
                launch(stream, {shape.rows, 1, 1}, threads, shared, cross_entropy_backward_kernel<T, V>,
                       static_cast<const T*>(logits), target, lse, static_cast<T*>(dx), offset, scale, shape);
            },
            logits, dx);
    });
}

void cross_entropy_join(Stream stream, const float* parts, float* loss, float* lse, std::int64_t rows,
                        std::int64_t ranks) {
    launch(stream, {(rows + flat_threads - 1) / flat_threads, 1, 1}, flat_threads, 0, join_kernel, parts, loss, lse,
           rows, ranks);
}

}  // namespace wb::cuda
