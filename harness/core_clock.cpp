#include "harness/core_clock.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <vector>

#include "harness/stats.hpp"

namespace wb {

double now_s() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double measured_core_clock_hz(int runs) {
    constexpr long steps = 64, rounds = 80'000;
    double best = std::numeric_limits<double>::infinity();
    unsigned long sum = 1, one = 1;
    for (int run = 0; run < runs; ++run) {
        const double begin = now_s();
        // Register plus register: newer cores make additions of a constant vanish at renaming.
        for (long i = 0; i < rounds; ++i) {
#if defined(__x86_64__)
            asm volatile(".rept 64\n\tadd %1, %0\n\t.endr" : "+r"(sum) : "r"(one) : "cc");
#elif defined(__aarch64__)
            asm volatile(".rept 64\n\tadd %0, %0, %1\n\t.endr" : "+r"(sum) : "r"(one));
#else
            return 0;
#endif
        }
        best = std::min(best, now_s() - begin);
    }
    return static_cast<double>(steps * rounds) / best;
}

TimerCost measured_timer_cost() {
    constexpr int batches = 51, batch = 200;
    std::vector<double> cost;
    double step = std::numeric_limits<double>::infinity(), last = now_s();
    for (int i = 0; i < batches; ++i) {
        const double begin = now_s();
        for (int j = 0; j < batch; ++j) {
            const double now = now_s();
            if (now > last) step = std::min(step, now - last);
            last = now;
        }
        cost.push_back((now_s() - begin) / (batch + 1));
    }
    return {median(cost).value_or(0), step};
}

}  // namespace wb
