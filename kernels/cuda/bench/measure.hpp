#pragma once

#include <benchmark/benchmark.h>

#include "core/element.hpp"
#include "kernels/cuda/kernels.hpp"

namespace wb::cuda {

/// Random values: zeros would cost less power.
inline Memory filled(std::int64_t count, DType type, Stream stream) {
    Memory memory(count * stored_bytes(type));
    fill(stream, type, memory.data(), count,
         {Fill::Kind::uniform, type == DType::int8 ? 100.0 : 1.0, 7, 0, count, count});
    return memory;
}

inline constexpr int calls = 8;  // between two events: what a launch from the host takes passes behind the call before

/// Repeats `work`, timed by events; `flop` and `bytes` are of one call. The mean seconds of one.
template <class Work>
double measure(benchmark::State& state, const Queue& queue, double flop, double bytes, const Work& work) {
    const Event start, end;
    for (int i = 0; i < 3; ++i) work();
    queue.wait();
    double sum = 0;
    for ([[maybe_unused]] auto _ : state) {
        start.record(queue.stream());
        for (int i = 0; i < calls; ++i) work();
        end.record(queue.stream());
        end.wait();
        state.SetIterationTime(end.seconds_since(start) / calls);
        sum += end.seconds_since(start) / calls;
    }
    using benchmark::Counter;
    if (flop > 0) state.counters["FLOP/s"] = Counter(flop, Counter::kIsIterationInvariantRate);
    if (bytes > 0) state.counters["B/s"] = Counter(bytes, Counter::kIsIterationInvariantRate);
    return sum / static_cast<double>(state.iterations());
}

/// The same outside a benchmark, for ratios of one run.
template <class Work>
double seconds_of(const Queue& queue, const Work& work) {
    const Event start, end;
    work();
    start.record(queue.stream());
    for (int i = 0; i < calls; ++i) work();
    end.record(queue.stream());
    end.wait();
    return end.seconds_since(start) / calls;
}

/// Products with epilogues beside the same with kernels of their own (epilogues.cpp).
void add_epilogues();

}  // namespace wb::cuda
