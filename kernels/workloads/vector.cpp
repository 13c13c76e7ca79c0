#include "core/dtype_param.hpp"
#include "core/workload.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace wb::workloads {
namespace {

/// One step of the optimizer on a weight [rows, columns]: in place, so that its outputs are states.
void update(Graph& g, const Shape& shape, DType type) {
    Attributes a;
    a.rate = 3e-4;
    a.beta1 = 0.9;
    a.beta2 = 0.95;
    a.eps = 1e-8;
    a.decay = 0.1;
    Fill fill{Fill::Kind::uniform, 2.0};
    std::vector<TensorId> in{g.weight("w", shape, type, fill), g.input("gradient", shape, type, fill)};
    const DType moment = type == DType::f64 ? DType::f64 : DType::f32;
    for (const char* name : {"w.m", "w.v"}) in.push_back(g.state(name, shape, moment));
    fill.stream = "w";  // the master copy begins as the weight does
    if (bits(type) < 32) in.push_back(g.state("w.master", shape, DType::f32, fill));
    g.apply(OpKind::adamw, "update", in, a);
}

Graph build(const Params& p, const Files&) {
    const std::int64_t rows = p.positive("rows"), columns = p.positive("cols");
    const std::string& op = p.word("op");
    const DType type = dtype_of(p);
    Graph g("vector_" + op);
    const auto matrix = [&](const char* name) {
        return g.input(name, {rows, columns}, type, {Fill::Kind::uniform, 2.0});
    };
    const auto row = [&](const char* name) { return g.input(name, {columns}, type); };
    Attributes a;
    a.eps = 1e-5;
    if (op == "adamw") {
        update(g, {rows, columns}, type);
        return g;
    }
    TensorId y{};
    const TensorId x = matrix("x");
    if (op == "softmax")
        y = g.add(OpKind::softmax, "y", {x});
    else if (op == "layernorm")
        y = g.add(OpKind::layernorm, "y", {x, row("gamma"), row("beta")}, a);
    else if (op == "rmsnorm")
        y = g.add(OpKind::rmsnorm, "y", {x, row("gamma")}, a);
    else if (op == "gelu")
        y = g.add(OpKind::gelu, "y", {x});
    else if (op == "silu_mul")
        y = g.add(OpKind::silu_mul, "y", {x, matrix("u")});
    else if (op == "cross_entropy")
        y = g.apply(
            OpKind::cross_entropy, "y",
            {x, g.input("targets", {rows}, DType::int32, {Fill::Kind::integers, static_cast<double>(columns)})})[0];
    else if (op == "add")
        y = g.add(OpKind::add, "y", {x, matrix("u")});
    else {  // rope: one sequence of `rows` tokens
        a.heads = p.positive("heads");
        a.seq = rows;
        a.rotary_dim = columns / a.heads;
        a.theta = 10000;
        y = g.add(OpKind::rope, "y", {x}, a);
    }
    g.mark_output(y);
    return g;
}

Params verify_size(const Params& p) {
    Params small = p;
    small.set("rows", std::min<std::int64_t>(p.integer("rows"), 65 + p.integer("rows") % 7));
    if (p.integer("rows") * p.integer("cols") > 20'000'000 && p.word("op") != "rope")
        small.set("cols", std::min<std::int64_t>(p.integer("cols"), 50'000 + p.integer("cols") % 7));
    return small;
}

}  // namespace

Workload vector() {
    return {"vector",
            "one row-wise or elementwise operator on x[rows, cols]",
            {{"op",
              "which operator",
              {},
              {"softmax", "layernorm", "rmsnorm", "gelu", "silu_mul", "rope", "add", "cross_entropy", "adamw"}},
             {"rows", "rows (tokens)", {}},
             {"cols", "columns (features; silu_mul: of the result)", {}},
             {"heads", "rope: heads that share the columns", std::int64_t{1}},
             dtype_param()},
            build,
            verify_size};
}

}  // namespace wb::workloads
