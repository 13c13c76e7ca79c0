#include "core/dtype_param.hpp"
#include "core/workload.hpp"

#include <algorithm>

namespace wb::workloads {
namespace {

Graph build(const Params& p, const Files&) {
    const std::int64_t m = p.positive("m"), k = p.positive("k");
    Graph g("gemv");
    const TensorId a = g.input("a", {m, k}, dtype_of(p));
    const TensorId x = g.input("x", {k, 1}, dtype_of(p));
    g.mark_output(g.add(OpKind::matmul, "y", {a, x}));
    return g;
}

Params verify_size(const Params& p) {
    Params small = p;
    for (const char* key : {"m", "k"}) small.set(key, std::min<std::int64_t>(p.integer(key), 512 + p.integer(key) % 7));
    return small;
}

}  // namespace

Workload gemv() {
    return {"gemv",
            "y[m] = A[m,k] x[k]",
            {{"m", "rows of A", {}}, {"k", "columns of A", {}}, dtype_param()},
            build,
            verify_size};
}

}  // namespace wb::workloads
