#include "core/dtype_param.hpp"
#include "core/workload.hpp"

#include <algorithm>

namespace wb::workloads {
namespace {

Graph build(const Params& p, const Files&) {
    const std::int64_t m = p.positive("m"), n = p.positive("n"), k = p.positive("k"), batch = p.positive("batch");
    Attributes a;
    a.trans_a = p.flag("trans_a");
    a.trans_b = p.flag("trans_b");
    const auto shape = [batch](std::int64_t rows, std::int64_t columns, bool transposed) {
        Shape s = transposed ? Shape{columns, rows} : Shape{rows, columns};
        if (batch > 1) s.insert(s.begin(), batch);
        return s;
    };
    Graph g("gemm");
    const TensorId left = g.input("a", shape(m, k, a.trans_a), dtype_of(p));
    const TensorId right = g.input("b", shape(k, n, a.trans_b), dtype_of(p));
    g.mark_output(g.add(OpKind::matmul, "c", {left, right}, a));
    return g;
}

Params verify_size(const Params& p) {
    Params small = p;
    for (const char* key : {"m", "n", "k"})
        small.set(key, std::min<std::int64_t>(p.integer(key), 256 + p.integer(key) % 7));
    small.set("batch", std::min<std::int64_t>(p.integer("batch"), 4));
    return small;
}

}  // namespace

Workload gemm() {
    return {"gemm",
            "C[m,n] = A[m,k] B[k,n]",
            {{"m", "rows of A and C", {}},
             {"n", "columns of B and C", {}},
             {"k", "columns of A, rows of B", {}},
             {"batch", "independent products", std::int64_t{1}},
             {"trans_a", "A is stored as [k,m]", false},
             {"trans_b", "B is stored as [n,k]", false},
             dtype_param()},
            build,
            verify_size};
}

}  // namespace wb::workloads
