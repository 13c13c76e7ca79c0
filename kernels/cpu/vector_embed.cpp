#include <algorithm>
#include <cstring>

#include "core/error.hpp"
#include "kernels/cpu/vector_ops.hpp"

namespace wb::cpu {

namespace {

void check_ids(const std::int32_t* id, std::int64_t rows, std::int64_t vocabulary) {
    for (std::int64_t r = 0; r < rows; ++r) WB_EXPECT(id[r] >= 0 && id[r] < vocabulary);
}

}  // namespace

template <class T>
void embed(const T* table, const std::int32_t* id, T* out, std::int64_t rows, std::int64_t cols,
           std::int64_t vocabulary, int threads) {
    WB_EXPECT(rows >= 0 && cols >= 0 && threads >= 1);
    check_ids(id, rows, vocabulary);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (std::int64_t r = 0; r < rows; ++r)
        std::memcpy(out + r * cols, table + id[r] * cols, static_cast<std::size_t>(cols) * sizeof(T));
}

template <class T>
void embed_backward(const T* dout, const std::int32_t* id, float* dtable, std::int64_t rows, std::int64_t cols,
                    std::int64_t vocabulary, int threads) {
    WB_EXPECT(rows >= 0 && cols >= 0 && threads >= 1);
    check_ids(id, rows, vocabulary);
    // Threads own columns, not rows: the same id may stand in many rows, and its sum keeps their order.
    const std::int64_t block = std::max<std::int64_t>(64, (cols / threads + 63) / 64 * 64);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (std::int64_t j0 = 0; j0 < cols; j0 += block) {
        const std::int64_t count = std::min(block, cols - j0);
        for (std::int64_t r = 0; r < rows; ++r) {
            const T* from = dout + r * cols + j0;
            float* to = dtable + id[r] * cols + j0;
#pragma omp simd
            for (std::int64_t j = 0; j < count; ++j) to[j] += to_float(from[j]);
        }
    }
}

template void embed(const float*, const std::int32_t*, float*, std::int64_t, std::int64_t, std::int64_t, int);
template void embed(const bf16*, const std::int32_t*, bf16*, std::int64_t, std::int64_t, std::int64_t, int);
template void embed_backward(const float*, const std::int32_t*, float*, std::int64_t, std::int64_t, std::int64_t, int);
template void embed_backward(const bf16*, const std::int32_t*, float*, std::int64_t, std::int64_t, std::int64_t, int);

}  // namespace wb::cpu
