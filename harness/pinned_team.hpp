#pragma once

#include <omp.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "harness/core_clock.hpp"

namespace wb {

/// OpenMP threads 0 .. n-1, each on one CPU while this lives; afterwards each may run where it could before.
class PinnedTeam {
public:
    explicit PinnedTeam(const std::vector<int>& cpus);
    ~PinnedTeam();
    PinnedTeam(const PinnedTeam&) = delete;
    PinnedTeam& operator=(const PinnedTeam&) = delete;

    int size() const { return static_cast<int>(before_.size()); }

    /// Slowest thread's seconds of `work(thread)`, begun together; best of `times`.
    template <class Work>
    double best_s(int times, Work work) const {
        double best = std::numeric_limits<double>::infinity();
        for (int i = 0; i < times; ++i) {
            double begin = 0;
#pragma omp parallel num_threads(size())
            {
#pragma omp barrier
#pragma omp master
                begin = now_s();
                work(static_cast<std::size_t>(omp_get_thread_num()));
            }
            best = std::min(best, now_s() - begin);
        }
        return best;
    }

private:
    /// Failure leaves the thread where it is: the figures are then lower, not wrong.
    static void bind(const std::vector<int>& cpus);
    std::vector<std::vector<int>> before_;
};

}  // namespace wb
