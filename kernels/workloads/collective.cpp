#include "core/dtype_param.hpp"
#include "core/workload.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"
#include "core/units.hpp"

namespace wb::workloads {
namespace {

constexpr CollectiveKind kinds[] = {CollectiveKind::allreduce,      CollectiveKind::allgather,
                                    CollectiveKind::reduce_scatter, CollectiveKind::alltoall,
                                    CollectiveKind::broadcast,      CollectiveKind::send_recv};

Graph build(const Params& p, const Files&) {
    Attributes a;
    for (CollectiveKind k : kinds)
        if (name(k) == p.word("op")) a.collective = k;
    double bytes = 0;
    try {
        bytes = parse<Bytes>(p.word("bytes")).si();
    } catch (const UnitProblem& problem) {
        throw problem.at("bytes");
    }
    const DType type = dtype_of(p);
    const double n = bytes * 8 / bits(type);
    if (n < 1 || n != static_cast<double>(static_cast<std::int64_t>(n)))
        throw Error({"bytes", fmt::format("{} is no whole number of {} elements", p.word("bytes"), name(type)),
                     "a message holds whole elements", ""});
    Graph g("collective");
    const TensorId x = g.input("x", {static_cast<std::int64_t>(n)}, type);
    g.mark_output(g.add(OpKind::collective, "y", {x}, a));
    return g;
}

}  // namespace

Workload collective() {
    return {"collective",
            "one collective operation among all units, buffers as nccl-tests counts them",
            {{"op",
              "which operation",
              {},
              {"allreduce", "allgather", "reduce_scatter", "alltoall", "broadcast", "send_recv"}},
             {"bytes", "buffer of each rank (allgather: gathered; reduce_scatter: input), e.g. \"16 MiB\"", {}},
             dtype_param()},
            build,
            [](const Params& p) { return p; }};
}

}  // namespace wb::workloads
