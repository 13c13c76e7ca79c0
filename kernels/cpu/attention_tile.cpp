#include "kernels/cpu/attention_tile.hpp"

#include "core/error.hpp"

namespace wb::cpu::tile {

namespace {

using simd::Vec;

#define WB_INLINE __attribute__((always_inline))

/// A rows x vectors corner of c, held in registers while the depth runs.
template <int rows, int vectors>
void micro(const Product& p, const float* a, const float* b, float* c, Keep keep, const float* scale) {
    constexpr int size = rows * vectors;
    const Index a_row = p.a_row, a_column = p.a_column, b_row = p.b_row, c_row = p.c_row;
    const auto at = [=](int n) WB_INLINE { return c + n / vectors * c_row + n % vectors * simd::width; };
    Vec acc[size] = {};
    if (keep != Keep::nothing) simd::repeat<size>([&](auto n) WB_INLINE { acc[n] = simd::load(at(n)); });
    if (keep == Keep::scaled) simd::repeat<size>([&](auto n) WB_INLINE { acc[n] *= scale[n / vectors]; });
    for (Index k = p.depth; k > 0; --k, a += a_column, b += b_row) {
        Vec line[vectors];
        simd::repeat<vectors>([&](auto v) WB_INLINE {
            line[v] = simd::load(b + v * simd::width);
            simd::pin(line[v]);
        });
        simd::repeat<rows>([&](auto i) WB_INLINE {
            const Vec x = simd::broadcast(a[i * a_row]);
            simd::repeat<vectors>([&](auto v) WB_INLINE { acc[i * vectors + v] += x * line[v]; });
        });
    }
    simd::repeat<size>([&](auto n) WB_INLINE { simd::store(at(n), acc[n]); });
}

#undef WB_INLINE

template <int vectors>
void multiply_panel(const Product& p, Index n, Keep keep, const float* scale) {
    const float* b = p.b + n * p.b_panel;
    float* c = p.c + n * panel;
    Index i = 0;
    const auto run = [&]<int rows>() {
        micro<rows, vectors>(p, p.a + i * p.a_row, b, c + i * p.c_row, keep, scale == nullptr ? nullptr : scale + i);
        i += rows;
    };
    while (i + micro_rows <= p.rows) run.template operator()<6>();
    switch (p.rows - i) {
        case 5: return run.template operator()<5>();
        case 4: return run.template operator()<4>();
        case 3: return run.template operator()<3>();
        case 2: return run.template operator()<2>();
        case 1: return run.template operator()<1>();
        default: return;
    }
}

}  // namespace

void multiply(const Product& p, Keep keep, const float* scale) {
    for (Index n = 0; n * panel < p.columns; ++n) {
        switch (std::min(panel_vectors, p.columns / simd::width - n * panel_vectors)) {
            case 4: multiply_panel<4>(p, n, keep, scale); break;
            case 3: multiply_panel<3>(p, n, keep, scale); break;
            case 2: multiply_panel<2>(p, n, keep, scale); break;
            default: multiply_panel<1>(p, n, keep, scale); break;
        }
    }
}

template <class T>
void stage_rows(const T* from, Index stride, Index rows, Index columns, float* to) {
    const Index width = padded(columns);
    for (Index i = 0; i < rows; ++i, from += stride, to += width) {
        Index j = 0;
        for (; j + simd::width <= columns; j += simd::width) simd::store(to + j, simd::load(from + j));
        for (; j < columns; ++j) to[j] = to_float(from[j]);
        std::fill(to + columns, to + width, 0.0F);
    }
}

template <class T>
void stage_transposed(const T* from, Index stride, Index rows, Index columns, float* to) {
    constexpr Index strip = 16;  // columns at a time: one cache line of each source row stays in L1
    for (Index first = 0; first < columns; first += strip) {
        const Index last = std::min(columns, first + strip);
        for (Index i = 0; i < rows; ++i)
            for (Index j = first; j < last; ++j) to[j * panel + i] = to_float(from[i * stride + j]);
        if (rows < panel)
            for (Index j = first; j < last; ++j) std::fill(to + j * panel + rows, to + (j + 1) * panel, 0.0F);
    }
}

template <class T>
void unstage_rows(const float* from, Index rows, Index columns, float factor, T* to, Index stride) {
    const Index width = padded(columns);
    for (Index i = 0; i < rows; ++i, from += width, to += stride)
        for (Index j = 0; j < columns; ++j) to[j] = from_float<T>(from[j] * factor);
}

void expect_valid(const AttentionShape& s, int threads) {
    WB_EXPECT(threads >= 1);
    WB_EXPECT(s.batch >= 0 && s.seq_q >= 0 && s.seq_kv >= 0 && s.head_dim >= 1 && s.v_head_dim >= 1);
    WB_EXPECT(s.heads >= 1 && s.kv_heads >= 1 && s.heads % s.kv_heads == 0);
    WB_EXPECT(s.window >= 0 && (s.window == 0 || s.causal));
}

template void stage_rows(const float*, Index, Index, Index, float*);
template void stage_rows(const bf16*, Index, Index, Index, float*);
template void stage_transposed(const float*, Index, Index, Index, float*);
template void stage_transposed(const bf16*, Index, Index, Index, float*);
template void unstage_rows(const float*, Index, Index, float, float*, Index);
template void unstage_rows(const float*, Index, Index, float, bf16*, Index);

}  // namespace wb::cpu::tile
