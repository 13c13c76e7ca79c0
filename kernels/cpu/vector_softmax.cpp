#include <omp.h>

#include <vector>

#include "core/error.hpp"
#include "kernels/cpu/vector_ops.hpp"
#include "kernels/cpu/vector_rows.hpp"

namespace wb::cpu {

namespace {

/// y = e^(scale x - shift) / (their sum); `held` [cols] keeps the exponentials until the sum is known, unrounded. Asks
/// for the next row meanwhile.
template <class T>
void write_softmax(const T* x, T* y, float* held, std::int64_t cols, float scale, float shift) {
    constexpr std::int64_t line = 64 / std::int64_t{sizeof(T)};
    Apart sums;
    each_vector(0, cols, [&](const auto& at, int k) {
        if (at.i % line == 0) ask_for(x + at.i, cols);
        const Vec e = at.filled(exp_of(at.load(x) * scale - shift), 0);
        at.store(held, e);
        sums.of[k] += e;
    });
    const float factor = 1.0F / sums.sum();
    each_vector(0, cols, [&](const auto& at, int) { at.store(y, at.load(held) * factor); });
}

}  // namespace

template <class T>
void softmax(const T* x, T* y, std::int64_t rows, std::int64_t cols, float scale, int threads) {
    WB_EXPECT(rows >= 0 && cols >= 0 && threads >= 1);
    std::vector<float> held(static_cast<std::size_t>(threads * cols));
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (std::int64_t r = 0; r < rows; ++r) {
        const T* from = x + r * cols;
        const float shift = row_max(from, cols, scale < 0 ? -1.0F : 1.0F) * std::abs(scale);
        write_softmax(from, y + r * cols, held.data() + omp_get_thread_num() * cols, cols, scale, shift);
    }
}

template void softmax(const float*, float*, std::int64_t, std::int64_t, float, int);
template void softmax(const bf16*, bf16*, std::int64_t, std::int64_t, float, int);

}  // namespace wb::cpu
