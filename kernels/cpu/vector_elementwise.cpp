#include <algorithm>

#include "core/error.hpp"
#include "kernels/cpu/vector_loop.hpp"
#include "kernels/cpu/vector_ops.hpp"

namespace wb::cpu {

template <class T>
void add(const T* a, const T* b, T* y, std::int64_t n, int threads) {
    WB_EXPECT(n >= 0 && threads >= 1);
    each_vector_by(threads, n, [=](const auto& at, int) { at.store(y, at.load(a) + at.load(b)); });
}

template <class T>
void sum_rows(const T* x, float* out, std::int64_t rows, std::int64_t cols, int threads) {
    WB_EXPECT(rows >= 0 && cols >= 0 && threads >= 1);
    constexpr std::int64_t widest = 1024;
    // Any block width gives the same bits: a column is summed from its first row to its last.
    const std::int64_t block = std::clamp<std::int64_t>((cols / (2 * threads) + 63) / 64 * 64, 64, widest);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (std::int64_t j0 = 0; j0 < cols; j0 += block) {
        float sums[widest] = {};
        const std::int64_t count = std::min(block, cols - j0);
        for (std::int64_t r = 0; r < rows; ++r) {
            const T* row = x + r * cols + j0;
            each_vector(0, count, [&](const auto& at, int) {
                ask_for(row + at.i, 2 * cols);
                at.store(sums, at.load(static_cast<const float*>(sums)) + at.load(row));
            });
        }
        std::copy_n(sums, count, out + j0);
    }
}

template void add(const float*, const float*, float*, std::int64_t, int);
template void add(const bf16*, const bf16*, bf16*, std::int64_t, int);
template void sum_rows(const float*, float*, std::int64_t, std::int64_t, int);
template void sum_rows(const bf16*, float*, std::int64_t, std::int64_t, int);

}  // namespace wb::cpu
