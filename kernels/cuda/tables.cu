#include "kernels/cuda/kernels.hpp"
#include "kernels/cuda/launch.hpp"

namespace wb::cuda {
namespace {

constexpr int row_threads = 256;

WB_DEVICE std::int64_t flat_index() { return static_cast<std::int64_t>(block_x()) * flat_threads + thread_index(); }
Grid flat_grid(std::int64_t n) { return {(n + flat_threads - 1) / flat_threads, 1, 1}; }

/// start(V) with the widest pack that fits columns and pointers.
template <class T, class Start, class... Pointers>
void by_pack(std::int64_t columns, const Start& start, Pointers... at) {
    if (packs_fit<T>(columns, at...))
        start(std::integral_constant<int, widest<T>>{});
    else
        start(std::integral_constant<int, 1>{});
}

template <class T, int V>
WB_KERNEL(flat_threads)
embed_kernel(const std::int32_t* token, const T* table, T* y, std::int64_t packs, std::int64_t row_packs,
             std::int64_t rows, std::int64_t offset) {
    const std::int64_t i = flat_index();
    if (i >= packs) return;
    const std::int64_t row = token[i / row_packs] - offset;
    Pack<T, V> x{};
    if (row >= 0 && row < rows) x = load<T, V>(table, row * row_packs + i % row_packs);
    store<T, V>(y, i, x);
}

/// The tokens of each table row as a list: head[row] names one, next[token] the one before it.
WB_KERNEL(flat_threads)
link_kernel(const std::int32_t* token, int* head, int* next, std::int64_t tokens, std::int64_t rows,
            std::int64_t offset) {
    const std::int64_t i = flat_index();
    if (i >= tokens) return;
    const std::int64_t row = token[i] - offset;
    if (row >= 0 && row < rows) next[i] = exchange(head + row, static_cast<int>(i));
}

template <class T, int V>
WB_KERNEL(row_threads)
embed_backward_kernel(const T* dy, const int* head, const int* next, T* table, std::int64_t row_packs,
                      bool accumulate) {
    const std::int64_t row = block_x();
    const int newest = head[row];
    if (newest < 0 && accumulate) return;
    for (std::int64_t p = thread_index(); p < row_packs; p += block_threads()) {
        float sum[V] = {};
        if (accumulate) {
            const Pack<T, V> old = load<T, V>(table, row * row_packs + p);
            for (int v = 0; v < V; ++v) sum[v] = to_float(old.at[v]);
        }
        for (int i = newest; i >= 0; i = next[i]) {
            const Pack<T, V> d = load<T, V>(dy, i * row_packs + p);
            for (int v = 0; v < V; ++v) sum[v] += to_float(d.at[v]);
        }
        Pack<T, V> out;
        for (int v = 0; v < V; ++v) out.at[v] = from_float<T>(sum[v]);
        store<T, V>(table, row * row_packs + p, out);
    }
}

template <class T, int V>
WB_KERNEL(flat_threads)
position_kernel(const T* x, const T* table, T* y, std::int64_t packs, std::int64_t row_packs, std::int64_t seq,
                std::int64_t offset, const std::int64_t* missing) {
    const std::int64_t i = flat_index();
    if (i >= packs) return;
    if (missing) offset -= *missing;
    const Pack<T, V> a = load<T, V>(x, i);
    const Pack<T, V> b = load<T, V>(table, (offset + i / row_packs % seq) * row_packs + i % row_packs);
    Pack<T, V> out;
    for (int v = 0; v < V; ++v) out.at[v] = from_float<T>(to_float(a.at[v]) + to_float(b.at[v]));
    store<T, V>(y, i, out);
}

template <class T, int V>
WB_KERNEL(flat_threads)
position_backward_kernel(const T* dy, T* table, std::int64_t packs, std::int64_t row_packs, std::int64_t rows,
                         std::int64_t seq, std::int64_t offset) {
    const std::int64_t i = flat_index();
    if (i >= packs) return;
    const std::int64_t position = i / row_packs - offset;
    float sum[V] = {};
    for (std::int64_t r = position; position >= 0 && position < seq && r < rows; r += seq) {
        const Pack<T, V> d = load<T, V>(dy, r * row_packs + i % row_packs);
        for (int v = 0; v < V; ++v) sum[v] += to_float(d.at[v]);
    }
    Pack<T, V> out;
    for (int v = 0; v < V; ++v) out.at[v] = from_float<T>(sum[v]);
    store<T, V>(table, i, out);
}

template <class T, int V>
WB_KERNEL(flat_threads)
move_rows_kernel(const T* from, T* to, std::int64_t packs, std::int64_t row_packs, RowMove rule) {
    const std::int64_t i = flat_index();
    if (i >= packs) return;
    const std::int64_t row = i / row_packs, group = row / rule.group, within = row % rule.group;
    const std::int64_t source = group * rule.from_group + rule.from_first + within;
    const std::int64_t target = group * rule.to_group + rule.to_first + within - (rule.missing ? *rule.missing : 0);
    store<T, V>(to, target * row_packs + i % row_packs, load<T, V>(from, source * row_packs + i % row_packs));
}

template <class T>
WB_KERNEL(flat_threads)
concat_kernel(const T* own, const T* common, T* y, std::int64_t n, std::int64_t heads, std::int64_t d,
              std::int64_t extra) {
    const std::int64_t i = flat_index();
    if (i >= n) return;
    const std::int64_t wide = d + extra, row = i / (heads * wide), head = i / wide % heads, f = i % wide;
    y[i] = f < d ? own[(row * heads + head) * d + f] : common[row * extra + f - d];
}

template <class T>
WB_KERNEL(flat_threads)
concat_backward_kernel(const T* dy, T* own, T* common, std::int64_t rows, std::int64_t heads, std::int64_t d,
                       std::int64_t extra) {
    const std::int64_t i = flat_index(), wide = d + extra, line = heads * d + extra;
    if (i >= rows * line) return;
    const std::int64_t row = i / line, f = i % line;
    const T* const from = dy + row * heads * wide;
    if (f < heads * d) {
        own[row * heads * d + f] = from[f / d * wide + f % d];
        return;
    }
    float sum = 0;
    for (std::int64_t h = 0; h < heads; ++h) sum += to_float(from[h * wide + d + f - heads * d]);
    common[row * extra + f - heads * d] = from_float<T>(sum);
}

template <class T>
WB_KERNEL(flat_threads)
move_columns_kernel(const T* from, T* to, std::int64_t n, ColumnMove rule) {
    const std::int64_t i = flat_index();
    if (i >= n) return;
    const std::int64_t group = i / rule.extra, f = i % rule.extra;  // over all rows
    to[group * rule.to_wide + rule.to_first + f] = from[group * rule.from_wide + rule.from_first + f];
}

}  // namespace

void embed(Stream stream, DType type, const std::int32_t* token, const void* table, void* y, std::int64_t tokens,
           const Matrix& table_shape, std::int64_t offset) {
    with_width(type, [&]<class T>(T) {
        by_pack<T>(
            table_shape.columns,
            [&]<int V>(std::integral_constant<int, V>) {
                const std::int64_t row_packs = table_shape.columns / V, packs = tokens * row_packs;
                launch(stream, flat_grid(packs), flat_threads, 0, embed_kernel<T, V>, token,
                       static_cast<const T*>(table), static_cast<T*>(y), packs, row_packs, table_shape.rows, offset);
            },
            table, y);
    });
}

void embed_backward(Stream stream, DType type, const void* dy, const std::int32_t* token, void* table, int* links,
                    std::int64_t tokens, const Matrix& table_shape, std::int64_t offset, bool accumulate) {
    int* const next = links + table_shape.rows;
    set_bytes(links, 0xff, table_shape.rows * static_cast<std::int64_t>(sizeof(int)), stream);  // -1: no token
    launch(stream, flat_grid(tokens), flat_threads, 0, link_kernel, token, links, next, tokens, table_shape.rows,
           offset);
    with_type(type, [&]<class T>(T) {
        by_pack<T>(
            table_shape.columns,
            [&]<int V>(std::integral_constant<int, V>) {
                launch(stream, {table_shape.rows, 1, 1}, threads_for(table_shape.columns / V, row_threads), 0,
                       embed_backward_kernel<T, V>, static_cast<const T*>(dy), links, next, static_cast<T*>(table),
                       table_shape.columns / V, accumulate);
            },
            dy, table);
    });
}

void position_embed(Stream stream, DType type, const void* x, const void* table, void* y, const Matrix& shape,
                    std::int64_t seq, std::int64_t offset, const std::int64_t* missing) {
    with_type(type, [&]<class T>(T) {
        by_pack<T>(
            shape.columns,
            [&]<int V>(std::integral_constant<int, V>) {
                const std::int64_t row_packs = shape.columns / V, packs = shape.rows * row_packs;
                launch(stream, flat_grid(packs), flat_threads, 0, position_kernel<T, V>, static_cast<const T*>(x),
                       static_cast<const T*>(table), static_cast<T*>(y), packs, row_packs, seq, offset, missing);
            },
            x, table, y);
    });
}

void position_embed_backward(Stream stream, DType type, const void* dy, void* table, const Matrix& shape,
                             std::int64_t table_rows, std::int64_t seq, std::int64_t offset) {
    with_type(type, [&]<class T>(T) {
        by_pack<T>(
            shape.columns,
            [&]<int V>(std::integral_constant<int, V>) {
                const std::int64_t row_packs = shape.columns / V, packs = table_rows * row_packs;
                launch(stream, flat_grid(packs), flat_threads, 0, position_backward_kernel<T, V>,
                       static_cast<const T*>(dy), static_cast<T*>(table), packs, row_packs, shape.rows, seq, offset);
            },
            dy, table);
    });
}

void move_rows(Stream stream, DType type, const void* from, void* to, const Matrix& moved, const RowMove& rule) {
    with_width(type, [&]<class T>(T) {
        by_pack<T>(
            moved.columns,
            [&]<int V>(std::integral_constant<int, V>) {
                const std::int64_t row_packs = moved.columns / V, packs = moved.rows * row_packs;
                launch(stream, flat_grid(packs), flat_threads, 0, move_rows_kernel<T, V>, static_cast<const T*>(from),
                       static_cast<T*>(to), packs, row_packs, rule);
            },
            from, to);
    });
}

void concat_heads(Stream stream, DType type, const void* own, const void* common, void* y, std::int64_t rows,
                  std::int64_t heads, std::int64_t d, std::int64_t extra) {
    with_width(type, [&]<class T>(T) {
        const std::int64_t n = rows * heads * (d + extra);
        launch(stream, flat_grid(n), flat_threads, 0, concat_kernel<T>, static_cast<const T*>(own),
               static_cast<const T*>(common), static_cast<T*>(y), n, heads, d, extra);
    });
}

void concat_heads_backward(Stream stream, DType type, const void* dy, void* own, void* common, std::int64_t rows,
                           std::int64_t heads, std::int64_t d, std::int64_t extra) {
    with_type(type, [&]<class T>(T) {
        launch(stream, flat_grid(rows * (heads * d + extra)), flat_threads, 0, concat_backward_kernel<T>,
               static_cast<const T*>(dy), static_cast<T*>(own), static_cast<T*>(common), rows, heads, d, extra);
    });
}

void move_columns(Stream stream, DType type, const void* from, void* to, std::int64_t rows, const ColumnMove& rule) {
    with_width(type, [&]<class T>(T) {
        const std::int64_t n = rows * rule.groups * rule.extra;
        launch(stream, flat_grid(n), flat_threads, 0, move_columns_kernel<T>, static_cast<const T*>(from),
               static_cast<T*>(to), n, rule);
    });
}

}  // namespace wb::cuda
