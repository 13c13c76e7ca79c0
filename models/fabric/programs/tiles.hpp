#pragma once

#include <span>

#include "models/fabric/program.hpp"
#include "models/gemm_laws.hpp"

namespace wb::fabric {

DType dtype_of(Type type);
/// Throws Error unless f32 or a 16-bit float the machine calls f16.
Type type_of(DType type);

/// Of `n` things dealt in parts of `part`, those in part `i`; the last parts may have fewer or none.
std::int64_t present(std::int64_t n, std::int64_t part, std::int64_t i);

/// The start-up of `count` tasks that follow one another.
Instruction tasks(Pe& pe, int count);

/// All of a contiguous vector as f32, to work on it in the host; one element after another. Data mode only.
void read(Pe& pe, Vec v, std::span<float> into);
void write(Pe& pe, Vec v, std::span<const float> from);

/// C (m x n) += A (m x k) B (k x n), tiles column-major, at the cost of wb::tile_product; credits `useful` of the m k n
/// FMA. Operands in f16 are multiplied and added up in f32, C is rounded once at the end. `fresh`: C = A B.
Instruction multiply(Pe& pe, Vec c, Vec a, Vec b, std::int64_t m, std::int64_t k, std::int64_t n, double useful,
                     bool fresh = false);

/// A row-major matrix in the host.
struct HostMatrix {
    std::span<const float> values;
    std::int64_t rows = 0, columns = 0;
};
/// Its part from (row, column) on, of `rows` x `columns`, into v column-major, or row-major if `by_rows`; 0 beyond its
/// edges. Costs nothing: data are loaded before the clock starts.
void load(Pe& pe, Vec v, const HostMatrix& matrix, std::int64_t row, std::int64_t column, std::int64_t rows,
          std::int64_t columns, bool by_rows = false);
/// The opposite: the elements of v that are part of a row-major matrix `into` of `all_rows` x `all_columns`.
void unload(Pe& pe, Vec v, std::span<float> into, std::int64_t all_rows, std::int64_t all_columns, std::int64_t row,
            std::int64_t column, std::int64_t rows, std::int64_t columns);

}  // namespace wb::fabric
