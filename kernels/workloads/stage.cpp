#include <algorithm>

#include "core/workload.hpp"
#include "kernels/workloads/model/phases.hpp"

namespace wb::workloads {

Workload stage() {
    return {"stage",
            "token ids from storage to host to units",
            {{"tokens", "32-bit token ids", {}}},
            [](const Params& p, const Files&) { return *staged_tokens(p.positive("tokens")); },
            [](const Params& p) {
                Params small = p;
                small.set("tokens", std::min<std::int64_t>(p.integer("tokens"), 1024));
                return small;
            }};
}

}  // namespace wb::workloads
