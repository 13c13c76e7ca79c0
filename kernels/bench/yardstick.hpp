#pragma once

#include <benchmark/benchmark.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <vector>

#include "kernels/cpu/bf16.hpp"
#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/simd.hpp"
#include "kernels/cpu/storage.hpp"
#include "kernels/cpu/vector_loop.hpp"
#include "kernels/cpu/vector_math.hpp"

/// What this host can do in the very seconds of a measurement: the benchmarks print their figures as shares of these.
namespace wb::cpu {

inline double now_s() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Processor time of all threads: what a busy neighbour on a shared machine does not add to.
inline double processor_s() {
    timespec t{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/// Of one call, or for each unit of its work.
struct Times {
    double wall, processor;
};
template <class Body>
Times times_of(const Body& body) {
    const double wall = now_s(), processor = processor_s();
    body();
    return {now_s() - wall, processor_s() - processor};
}

inline double median(std::vector<double> v) {
    std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
    return v[v.size() / 2];
}

/// The least times of three calls, for each of `units`.
template <class Body>
Times best_of_three(const Body& body, double units) {
    Times best{1e9, 1e9};
    for (int i = 0; i < 3; ++i) {
        const Times t = times_of(body);
        best = {std::min(best.wall, t.wall / units), std::min(best.processor, t.processor / units)};
    }
    return best;
}

/// Operands of a square product, and room for what it gives: values in [0.25, 1.25).
class MatrixSet {
public:
    MatrixSet(std::int64_t edge, GemmType type)
        : a_(filled(edge * edge, type)), b_(filled(edge * edge, type)), c_(edge * edge * 8) {}
    const void* a() const { return a_.data(); }
    const void* b() const { return b_.data(); }
    void* c() const { return c_.data(); }

private:
    static Buffer filled(std::int64_t count, GemmType type) {
        Buffer out(count * 8);
        for (std::int64_t i = 0; i < count; ++i) {
            const float x = 0.25F + static_cast<float>(i % 61) / 61.0F;
            if (type == GemmType::f64)
                reinterpret_cast<double*>(out.data())[i] = x;
            else if (type == GemmType::f32)
                reinterpret_cast<float*>(out.data())[i] = x;
            else
                reinterpret_cast<bf16*>(out.data())[i] = to_bf16(x);
        }
        return out;
    }
    Buffer a_, b_, c_;
};

/// Seconds per FLOP of C = A B with 2048 x 2048 matrices, the best of a few calls.
class GemmYardstick {
public:
    explicit GemmYardstick(int threads, GemmType type = GemmType::f32)
        : product_(shape(), type, threads), m_(n, type) {}

    Times per_flop() {
        return best_of_three([&] { product_(m_.a(), m_.b(), nullptr, m_.c()); }, shape().flops());
    }

private:
    static constexpr std::int64_t n = 2048;
    static GemmShape shape() {
        GemmShape s;
        s.m = s.n = s.k = n;
        return s;
    }
    Gemm product_;
    MatrixSet m_;
};

/// Seconds per byte read or written as `threads` threads copy 256 MiB, each a part of its own.
class CopyYardstick {
public:
    explicit CopyYardstick(int threads) : threads_(threads), from_(bytes), to_(bytes) {
        from_.fill(1, threads);
        to_.fill(0, threads);
    }

    Times per_byte() const {
        return best_of_three([&] { copy(); }, 2 * static_cast<double>(bytes));
    }

private:
    static constexpr std::int64_t bytes = std::int64_t{1} << 28;

    void copy() const {
#pragma omp parallel num_threads(threads_)
        {
            const std::int64_t me = omp_get_thread_num(), all = omp_get_num_threads();
            const std::int64_t begin = bytes * me / all, end = bytes * (me + 1) / all;
            std::memcpy(to_.data() + begin, from_.data() + begin, static_cast<std::size_t>(end - begin));
        }
    }

    int threads_;
    Buffer from_, to_;
};

/// Seconds per byte as `threads` threads read 1 GiB once, each a part of its own; the best of a few passes.
class ReadYardstick {
public:
    explicit ReadYardstick(int threads) : threads_(threads), data_(bytes) { data_.fill(0, threads); }

    Times per_byte() const {
        return best_of_three([&] { benchmark::DoNotOptimize(sum()); }, static_cast<double>(bytes));
    }

private:
    static constexpr std::int64_t bytes = std::int64_t{1} << 30, chunk = 8 * simd::width;

    float sum() const {
        const auto* x = reinterpret_cast<const float*>(data_.data());
        float total = 0;
#pragma omp parallel num_threads(threads_) reduction(+ : total)
        {
            simd::Vec sums[8] = {};
#pragma omp for schedule(static)
            for (std::int64_t i = 0; i < bytes / 4; i += chunk)
                for (int lane = 0; lane < 8; ++lane) sums[lane] += simd::load(x + i + lane * simd::width);
            for (const simd::Vec& s : sums) total += simd::sum(s);
        }
        return total;
    }

    int threads_;
    Buffer data_;
};

/// Seconds per exponential as `threads` threads compute them from and to their nearest caches: no softmax is faster.
class ExpYardstick {
public:
    explicit ExpYardstick(int threads) : threads_(threads) {}

    Times per_exponential() const {
        return best_of_three([&] { compute(); }, static_cast<double>(count) * rounds * threads_);
    }

private:
    static constexpr std::int64_t count = 2048, rounds = 2000;

    void compute() const {
#pragma omp parallel num_threads(threads_)
        {
            std::vector<float> from(count, -1.5F), to(count);
            for (std::int64_t i = 0; i < rounds; ++i) {
                each_vector(0, count, [&](const auto& at, int) { at.store(to.data(), exp_of(at.load(from.data()))); });
                benchmark::DoNotOptimize(to.data());
                benchmark::ClobberMemory();
            }
        }
    }

    int threads_;
};

/// A subject and its yardstick in turn, so that both see the same machine: medians over the rounds.
struct Paired {
    double subject_s, yardstick;   ///< wall time of the subject; wall time of a unit of the yardstick
    double of_wall, of_processor;  ///< `units` of the yardstick's work divided by the subject's time
};
template <class Subject, class Yardstick>
Paired paired(int rounds, double units, const Subject& subject, const Yardstick& yardstick) {
    std::vector<double> subjects, yardsticks, wall, processor;
    for (int i = 0; i <= rounds; ++i) {
        const Times y = yardstick(), s = times_of(subject);
        if (i == 0) continue;
        subjects.push_back(s.wall);
        yardsticks.push_back(y.wall);
        wall.push_back(units * y.wall / s.wall);
        processor.push_back(units * y.processor / s.processor);
    }
    return {median(subjects), median(yardsticks), median(wall), median(processor)};
}

}  // namespace wb::cpu
