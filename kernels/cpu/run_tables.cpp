#include <algorithm>

#include "kernels/cpu/runner.hpp"

namespace wb::cpu {
namespace {

template <class T>
void add_to(const T* from, T* to, std::int64_t n) {
#pragma omp simd
    for (std::int64_t j = 0; j < n; ++j) to[j] = from_float<T>(to_float(to[j]) + to_float(from[j]));
}

/// body(first, count) for a piece of `columns` a thread, in whole cache lines: rows that meet in one table row are
/// added in one order, whatever the number of threads. Narrower pieces would read the rows with a stride that caches
/// alias.
template <class Body>
void by_columns(std::int64_t columns, int threads, const Body& body) {
    const std::int64_t piece = std::max<std::int64_t>(64, (columns / threads + 63) / 64 * 64);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::int64_t first = 0; first < columns; first += piece) body(first, std::min(piece, columns - first));
}

template <class T>
void zero(T* to, std::int64_t n, int threads) {
#pragma omp parallel for simd num_threads(threads) schedule(static)
    for (std::int64_t i = 0; i < n; ++i) to[i] = T{};
}

/// Rows of a table shard that begins at row `offset`; tokens of other shards give zeros.
template <class T>
Runner embed(const Site& site) {
    const std::int64_t tokens = elements(site.in(0).shape), cols = Site::columns(site.in(1)),
                       rows = Site::rows(site.in(1));
    const std::int64_t offset = site.a().offset;
    const int threads = site.threads();
    return {[=](Operands p) {
                const auto* id = input<std::int32_t>(p, 0);
                const T* table = input<T>(p, 1);
                T* y = output<T>(p, 2);
#pragma omp parallel for num_threads(threads) schedule(static)
                for (std::int64_t i = 0; i < tokens; ++i) {
                    const std::int64_t row = id[i] - offset;
                    if (row >= 0 && row < rows)
                        std::copy_n(table + row * cols, cols, y + i * cols);
                    else
                        std::fill_n(y + i * cols, cols, T{});
                }
            },
            {}};
}

template <class T>
Runner embed_backward(const Site& site) {
    const std::int64_t tokens = elements(site.in(1).shape), cols = Site::columns(site.in(0)),
                       rows = Site::rows(site.out(0));
    const std::int64_t offset = site.a().offset;
    const int threads = site.threads();
    const bool accumulate = site.a().accumulate;
    const std::size_t result = site.inputs();
    return {[=](Operands p) {
                const T* dy = input<T>(p, 0);
                const auto* id = input<std::int32_t>(p, 1);
                T* table = output<T>(p, result);
                if (!accumulate) zero(table, rows * cols, threads);
                by_columns(cols, threads, [&](std::int64_t first, std::int64_t count) {
                    for (std::int64_t i = 0; i < tokens; ++i) {
                        const std::int64_t row = id[i] - offset;
                        if (row >= 0 && row < rows) add_to(dy + i * cols + first, table + row * cols + first, count);
                    }
                });
            },
            {}};
}

template <class T>
Runner position_embed(const Site& site) {
    const std::int64_t rows = Site::rows(site.in(0)), cols = Site::columns(site.in(0)), seq = site.a().seq,
                       offset = site.a().offset;
    const int threads = site.threads();
    return {[=, missing = &site.setup.missing](Operands p) {
                const std::int64_t first = offset - *missing;
                const T *x = input<T>(p, 0), *table = input<T>(p, 1);
                T* y = output<T>(p, 2);
#pragma omp parallel for num_threads(threads) schedule(static)
                for (std::int64_t r = 0; r < rows; ++r) {
                    const T *a = x + r * cols, *b = table + (first + r % seq) * cols;
#pragma omp simd
                    for (std::int64_t j = 0; j < cols; ++j)
                        y[r * cols + j] = from_float<T>(to_float(a[j]) + to_float(b[j]));
                }
            },
            {}};
}

template <class T>
Runner position_backward(const Site& site) {
    const std::int64_t rows = Site::rows(site.in(0)), cols = Site::columns(site.in(0)), all = Site::rows(site.out(0));
    const std::int64_t seq = site.a().seq, offset = site.a().offset;
    const int threads = site.threads();
    return {[=](Operands p) {
                const T* dy = input<T>(p, 0);
                T* table = output<T>(p, 1);
                zero(table, all * cols, threads);
                by_columns(cols, threads, [&](std::int64_t first, std::int64_t count) {
                    for (std::int64_t r = 0; r < rows; ++r)
                        add_to(dy + r * cols + first, table + (offset + r % seq) * cols + first, count);
                });
            },
            {}};
}

template <class T>
Runner last_rows(const Site& site, bool backward) {
    const std::int64_t batch = Site::rows(backward ? site.in(0) : site.out(0)), cols = Site::columns(site.in(0));
    const std::int64_t seq = site.a().seq, all = Site::rows(site.out(0));
    const int threads = site.threads();
    return {[=](Operands p) {
                const T* x = input<T>(p, 0);
                T* y = output<T>(p, 1);
                if (backward) zero(y, all * cols, threads);
                for (std::int64_t b = 0; b < batch; ++b) {
                    const std::int64_t token = (b + 1) * seq - 1;
                    std::copy_n(x + (backward ? b : token) * cols, cols, y + (backward ? token : b) * cols);
                }
            },
            {}};
}

template <class T>
Runner cache_write(const Site& site) {
    const std::int64_t rows = Site::rows(site.in(1)), cols = Site::columns(site.in(1));
    const std::int64_t seq = site.a().seq, capacity = site.a().seq_kv, offset = site.a().offset;
    const int threads = site.threads();
    return {[=, missing = &site.setup.missing](Operands p) {
                const std::int64_t first = offset - *missing;
                const T* x = input<T>(p, 1);
                T* cache = output<T>(p, 2);
#pragma omp parallel for num_threads(threads) schedule(static)
                for (std::int64_t r = 0; r < rows; ++r)
                    std::copy_n(x + r * cols, cols, cache + (r / seq * capacity + first + r % seq) * cols);
            },
            {}};
}

}  // namespace

Runner make_table(const Site& site) {
    return with_type(site.out(0).dtype, [&]<class T>(T) {
        switch (site.op.kind) {
            case OpKind::embed: return embed<T>(site);
            case OpKind::embed_backward: return embed_backward<T>(site);
            case OpKind::position_embed: return position_embed<T>(site);
            case OpKind::position_embed_backward: return position_backward<T>(site);
            case OpKind::cache_write: return cache_write<T>(site);
            default: return last_rows<T>(site, site.op.kind == OpKind::last_rows_backward);
        }
    });
}

}  // namespace wb::cpu
