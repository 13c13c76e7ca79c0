#include "models/fabric/programs/tiles.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/error.hpp"
#include "models/fabric/half.hpp"
#include "models/tile_work.hpp"

namespace wb::fabric {

namespace {

std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

/// The words a contiguous vector lies in; half of the last one may be no element of it.
std::span<float> storage(Pe& pe, Vec v) {
    WB_EXPECT(v.stride == 1);
    Vec w = v;
    w.type = Type::f32;
    w.count = v.wavelets();
    return pe.f32(w);
}

/// Column by column, four of A's at a time: C stays in cache, and every element is summed in the order of k.
void multiply_columns(float* c, const float* a, const float* b, std::size_t m, std::size_t k, std::size_t n) {
    for (std::size_t j = 0; j < n; ++j, c += m, b += k) {
        std::size_t l = 0;
        for (; l + 4 <= k; l += 4) {
            const float *a0 = a + l * m, *a1 = a0 + m, *a2 = a1 + m, *a3 = a2 + m;
            const float b0 = b[l], b1 = b[l + 1], b2 = b[l + 2], b3 = b[l + 3];
            for (std::size_t i = 0; i < m; ++i)
                c[i] = std::fma(a3[i], b3, std::fma(a2[i], b2, std::fma(a1[i], b1, std::fma(a0[i], b0, c[i]))));
        }
        for (; l < k; ++l)
            for (std::size_t i = 0; i < m; ++i) c[i] = std::fma(a[l * m + i], b[l], c[i]);
    }
}

/// The product in the host's memory.
void multiply_now(Pe& pe, Vec c, Vec a, Vec b, std::size_t m, std::size_t k, std::size_t n, bool fresh) {
    static thread_local std::vector<float> sum, left, right;
    sum.resize(c.count);
    left.resize(a.count);
    right.resize(b.count);
    if (fresh)
        std::fill(sum.begin(), sum.end(), 0.0F);
    else
        read(pe, c, sum);
    read(pe, a, left);
    read(pe, b, right);
    multiply_columns(sum.data(), left.data(), right.data(), m, k, n);
    write(pe, c, sum);
}

}  // namespace

DType dtype_of(Type type) { return type == Type::f32 ? DType::f32 : DType::f16; }

Type type_of(DType type) {
    if (type == DType::f32) return Type::f32;
    if (type == DType::f16 || type == DType::any16) return Type::f16;
    throw Error({std::string(name(type)), "is no type of the mesh simulator", "its PEs compute in f32 and f16", ""});
}

std::int64_t present(std::int64_t n, std::int64_t part, std::int64_t i) {
    return std::clamp<std::int64_t>(n - i * part, 0, part);
}

Instruction tasks(Pe& pe, int count) {
    return pe.wait(static_cast<std::uint32_t>(count * pe.mesh().task_start_cycles));
}

void read(Pe& pe, Vec v, std::span<float> into) {
    const std::span<float> from = storage(pe, v);
    if (v.type == Type::f32) {
        std::copy(from.begin(), from.end(), into.begin());
        return;
    }
    const auto* bytes = reinterpret_cast<const std::byte*>(from.data());  // NOLINT: SRAM is untyped
    for (std::size_t i = 0; i < v.count; ++i) {
        std::uint16_t h = 0;
        std::memcpy(&h, bytes + 2 * i, sizeof h);
        into[i] = float_of(h);
    }
}

void write(Pe& pe, Vec v, std::span<const float> from) {
    const std::span<float> into = storage(pe, v);
    if (v.type == Type::f32) {
        std::copy(from.begin(), from.end(), into.begin());
        return;
    }
    auto* bytes = reinterpret_cast<std::byte*>(into.data());  // NOLINT: SRAM is untyped
    for (std::size_t i = 0; i < v.count; ++i) {
        const std::uint16_t h = half_of(from[i]);
        std::memcpy(bytes + 2 * i, &h, sizeof h);
    }
}

Instruction multiply(Pe& pe, Vec c, Vec a, Vec b, std::int64_t m, std::int64_t k, std::int64_t n, double useful,
                     bool fresh) {
    c = c.sub(0, size(m * n));
    a = a.sub(0, size(m * k));
    b = b.sub(0, size(k * n));
    const TileWork w = tile_product(pe.mesh(), dtype_of(a.type), m, k, n);
    const Work work{w.instructions, w.elements, w.cycles_per_element, useful};
    if (!pe.data()) return pe.compute(work, {});
    return pe.compute(work,
                      [&pe, c, a, b, m, k, n, fresh] { multiply_now(pe, c, a, b, size(m), size(k), size(n), fresh); });
}

void load(Pe& pe, Vec v, const HostMatrix& matrix, std::int64_t row, std::int64_t column, std::int64_t rows,
          std::int64_t columns, bool by_rows) {
    if (!pe.data()) return;
    std::vector<float> tile(size(rows * columns), 0.0F);
    const std::int64_t last_row = std::min(rows, matrix.rows - row),
                       last_column = std::min(columns, matrix.columns - column);
    for (std::int64_t i = 0; i < last_row; ++i)
        for (std::int64_t j = 0; j < last_column; ++j)
            tile[size(by_rows ? i * columns + j : j * rows + i)] =
                matrix.values[size((row + i) * matrix.columns + column + j)];
    write(pe, v.sub(0, tile.size()), tile);
}

void unload(Pe& pe, Vec v, std::span<float> into, std::int64_t all_rows, std::int64_t all_columns, std::int64_t row,
            std::int64_t column, std::int64_t rows, std::int64_t columns) {
    std::vector<float> tile(size(rows * columns));
    read(pe, v.sub(0, tile.size()), tile);
    for (std::int64_t i = 0; i < std::min(rows, all_rows - row); ++i)
        for (std::int64_t j = 0; j < std::min(columns, all_columns - column); ++j)
            into[size((row + i) * all_columns + column + j)] = tile[size(j * rows + i)];
}

}  // namespace wb::fabric
