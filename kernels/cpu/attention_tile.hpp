#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include "kernels/cpu/attention.hpp"
#include "kernels/cpu/simd.hpp"

/// What forward, decode and backward share: blocks in float, a small matrix product, masks.
namespace wb::cpu::tile {

using Index = std::int64_t;

inline constexpr Index panel_vectors = simd::registers == 32 ? 4 : 2;
inline constexpr Index panel = panel_vectors * simd::width;  ///< columns of one packed panel
inline constexpr Index micro_rows = 6;
inline constexpr Index workspace_bytes = Index{64}
                                         << 20;  ///< packed copies alive at a time, unless one head needs more

constexpr Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }
constexpr Index round_up(Index a, Index b) { return ceil_div(a, b) * b; }
constexpr Index padded(Index columns) { return round_up(columns, simd::width); }

/// Uninitialised floats, cache-line aligned: pages are first touched by the thread that fills them.
class Buffer {
public:
    explicit Buffer(Index count)
        : data_(static_cast<float*>(::operator new (sizeof(float) * static_cast<std::size_t>(std::max<Index>(count, 1)),
                                                    std::align_val_t{64}))) {}
    float* data() const noexcept { return data_.get(); }

private:
    struct Free {
        void operator()(float* p) const noexcept { ::operator delete (p, std::align_val_t{64}); }
    };
    std::unique_ptr<float, Free> data_;
};

/// c = c * keep + a b. a: element (i, k) at a[i * row + k * column]; b in panels `panel` columns wide, panel n at
/// b + n * panel_stride, its rows b_row apart; columns a multiple of simd::width.
struct Product {
    Index rows, columns, depth;
    const float* a;
    Index a_row, a_column;
    const float* b;
    Index b_row, b_panel;
    float* c;
    Index c_row;
};
enum class Keep { nothing, all, scaled };  ///< scaled: row i by scale[i]
void multiply(const Product& product, Keep keep, const float* scale = nullptr);

/// to [rows][padded(columns)] in float, the padding zero.
template <class T>
void stage_rows(const T* from, Index stride, Index rows, Index columns, float* to);

/// to[columns][panel]: `rows` <= panel rows transposed, missing rows zero.
template <class T>
void stage_transposed(const T* from, Index stride, Index rows, Index columns, float* to);

/// to[rows][columns] = from[rows][padded(columns)] * factor.
template <class T>
void unstage_rows(const float* from, Index rows, Index columns, float factor, T* to, Index stride);

/// Keys [low, high) that a query may see.
struct Span {
    Index low, high;
};

/// Visible keys of query i, relative to key `first`, cut to [0, count).
inline Span visible(const AttentionShape& shape, Index i, Index first, Index count) {
    const Index position = i + shape.seq_kv - shape.seq_q;
    const Index high = shape.causal ? std::clamp<Index>(position + 1 - first, 0, count) : count;
    const Index low = shape.window > 0 ? std::clamp<Index>(position + 1 - shape.window - first, 0, high) : 0;
    return {low, high};
}

/// Throws ContractError where sizes, heads or window contradict each other.
void expect_valid(const AttentionShape& shape, int threads);

}  // namespace wb::cpu::tile

namespace wb::cpu {

/// Few queries against many keys (decode): work is split over keys, each key and value is read once for all the query
/// heads that share it. Same contract as attention_forward.
template <class T>
void attention_decode(const AttentionShape& shape, const T* q, const T* k, const T* v, T* o, float* lse, int threads);

}  // namespace wb::cpu
