#include "harness/pinned_team.hpp"

#include <sched.h>

#include "harness/environment.hpp"

namespace wb {

PinnedTeam::PinnedTeam(const std::vector<int>& cpus) : before_(cpus.size()) {
#pragma omp parallel num_threads(size())
    {
        const auto me = static_cast<std::size_t>(omp_get_thread_num());
        before_[me] = allowed_cpus();
        bind({cpus[me]});
    }
}

PinnedTeam::~PinnedTeam() {
#pragma omp parallel num_threads(size())
    bind(before_[static_cast<std::size_t>(omp_get_thread_num())]);
}

void PinnedTeam::bind(const std::vector<int>& cpus) {
    if (cpus.empty()) return;
    const auto room = static_cast<std::size_t>(cpus.back()) + 1;
    cpu_set_t* set = CPU_ALLOC(room);
    if (!set) return;
    const std::size_t bytes = CPU_ALLOC_SIZE(room);
    CPU_ZERO_S(bytes, set);
    for (int cpu : cpus) CPU_SET_S(static_cast<std::size_t>(cpu), bytes, set);
    sched_setaffinity(0, bytes, set);
    CPU_FREE(set);
}

}  // namespace wb
