#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/simd.hpp"

/// Loops over arrays of float or bf16, a vector at a time; the arithmetic is in float.
namespace wb::cpu {

using simd::Vec;

/// A whole vector from element i of any array.
struct Whole {
    std::int64_t i;
    template <class T>
    Vec load(const T* from) const {
        return simd::load(from + i);
    }
    template <class T>
    void store(T* to, Vec value) const {
        simd::store(to + i, value);
    }
    /// What stands in for the elements past the end: there are none.
    Vec filled(Vec value, float) const { return value; }
};

/// The first `count` elements of one; the others are 0.
struct Part {
    std::int64_t i;
    int count;
    template <class T>
    Vec load(const T* from) const {
        T all[simd::width] = {};
        std::copy_n(from + i, count, all);
        return simd::load(all);
    }
    template <class T>
    void store(T* to, Vec value) const {
        T all[simd::width];
        simd::store(all, value);
        std::copy_n(all, count, to + i);
    }
    Vec filled(Vec value, float fill) const {
        for (int lane = count; lane < simd::width; ++lane) value[lane] = fill;
        return value;
    }
};

/// body(Whole or Part, k) for all elements in [begin, end), k = 0 to 3 in turn: sums to keep apart, as an addition
/// takes longer than the next can wait. Always the same elements to the same k.
template <class Body>
[[gnu::always_inline]] inline void each_vector(std::int64_t begin, std::int64_t end, const Body& body) {
    constexpr std::int64_t width = simd::width;
    std::int64_t i = begin;
    for (; i + 4 * width <= end; i += 4 * width)
        simd::repeat<4>([&](auto k) __attribute__((always_inline)) { body(Whole{i + k * width}, int{k}); });
    for (; i + width <= end; i += width) body(Whole{i}, 0);
    if (i < end) body(Part{i, static_cast<int>(end - i)}, 0);
}

/// The same for all of an array by `threads` threads.
template <class Body>
void each_vector_by(int threads, std::int64_t n, const Body& body) {
    constexpr std::int64_t block = 4096;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1 && n > block)
    for (std::int64_t i = 0; i < n; i += block) each_vector(i, std::min(n, i + block), body);
}

/// Sums (or maxima) kept apart, and all of them in one.
struct Apart {
    Vec of[4] = {};
    float sum() const { return simd::sum((of[0] + of[1]) + (of[2] + of[3])); }
    float max() const { return simd::max_lane(simd::max(simd::max(of[0], of[1]), simd::max(of[2], of[3]))); }
};

/// Asks for the line at `from`, wherever it is: past an array's end in vain.
template <class T>
[[gnu::always_inline]] inline void ask_for(const T* from, std::int64_t ahead) {
    const auto at = reinterpret_cast<std::uintptr_t>(from) + static_cast<std::uintptr_t>(ahead) * sizeof(T);
    __builtin_prefetch(reinterpret_cast<const void*>(at), 0, 3);  // NOLINT(performance-no-int-to-ptr)
}

}  // namespace wb::cpu
