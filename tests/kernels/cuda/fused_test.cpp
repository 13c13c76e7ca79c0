#include <map>

#include "tests/kernels/cuda/judged.hpp"

// Products with epilogues, on a GPU or played. Which of them a GPU's library has, and finds faster, is its own matter;
// where all of it is played, everything that has a word is fused.

using namespace wb;
using namespace wb::judged;

namespace {

using Ids = std::vector<TensorId>;
using Counts = std::map<std::string, int>;

bool is_played() { return cuda::device(0).name == "emulated"; }

std::string text_of(const Counts& counts) {
    std::string out;
    for (const auto& [kind, count] : counts)
        if (count > 0) out += fmt::format("{}{} {}", out.empty() ? "in the products: " : ", ", count, kind);
    return out;
}

struct Form {
    std::int64_t n, batch;
    bool trans_a, trans_b, bias;
};

/// Every pattern, each on operands of its own, with k = 24 and m = 33.
Graph patterns(const Form& l, DType type) {
    Graph g("patterns");
    constexpr std::int64_t m = 33, k = 24;
    const auto matrix = [&](const char* name, std::int64_t rows, std::int64_t columns) {
        Shape s{rows, columns};
        if (l.batch > 1) s.insert(s.begin(), l.batch);
        return g.input(name + std::to_string(g.tensors().size()), s, type);
    };
    const auto left = [&] { return l.trans_a ? matrix("a", k, m) : matrix("a", m, k); };
    const auto right = [&] { return l.trans_b ? matrix("b", l.n, k) : matrix("b", k, l.n); };
    const Attributes how{.trans_a = l.trans_a, .trans_b = l.trans_b};
    const auto op = [&](OpKind kind, Ids in, const Attributes& a = {}) {
        return g.add(kind, fmt::format("{}{}", name(kind), g.ops().size()), std::move(in), a);
    };
    const auto product = [&] {
        Ids in{left(), right()};
        if (l.bias) in.push_back(g.input("bias" + std::to_string(g.tensors().size()), {l.n}, type));
        return op(OpKind::matmul, in, how);
    };
    const auto shown = [&](TensorId id) {
        g.mark_output(id);
        return id;
    };
    shown(op(OpKind::gelu, {product()}));
    shown(op(OpKind::gelu, {shown(product())}));
    shown(op(OpKind::add, {product(), matrix("r", m, l.n)}));
    shown(op(OpKind::add, {matrix("r", m, l.n), product()}));
    const TensorId d = shown(op(OpKind::gelu_backward, {product(), matrix("x", m, l.n)}));
    shown(op(OpKind::sum_rows, {d}));
    shown(op(OpKind::gelu_backward, {product(), matrix("x", m, l.n)}));
    for (const bool first : {true, false}) {
        const TensorId a = left(), b = right();
        shown(op(OpKind::matmul, {a, b}, how));
        shown(op(OpKind::sum_rows, {first ? a : b}));
    }
    shown(op(OpKind::add, {shown(product()), matrix("r", m, l.n)}));  // the product has a second reader
    return g;
}

/// What has a word.
Counts wanted(const Form& l) {
    const bool rows_of_8 = l.n % 8 == 0, one = l.batch == 1, backward = rows_of_8 && !l.bias;
    Counts out;
    out["gelu"] = rows_of_8 ? 2 : 1;
    out["add"] = 2;
    out["gelu_backward"] = backward ? 2 : 0;
    out["sum_rows"] = one ? (backward ? 1 : 0) + (l.trans_a ? 1 : 0) + (l.trans_b ? 0 : 1) : 0;
    return out;
}

}  // namespace

TEST_CASE("cuda: products with epilogues, in every layout, are what separate ops give") {
    for (const DType type : {DType::f32, DType::bf16, DType::f16})
        for (const std::int64_t n : {40, 47})
            for (const std::int64_t batch : {1, 3})
                for (int layout = 0; layout < 8; ++layout) {
                    if (type != DType::f32 && (layout + n + batch) % 4 != 0) continue;  // of each a few
                    const Form l{n, batch, layout % 2 == 1, layout / 2 % 2 == 1, layout / 4 == 1};
                    CAPTURE(name(type));
                    CAPTURE(n);
                    CAPTURE(batch);
                    CAPTURE(layout);
                    const Case c = case_of(patterns(l, type));
                    const auto comm = single_process();
                    cuda::CudaSession session(c, *comm, 0);
                    session.poison();
                    session.run();
                    const std::string dtype(name(type));
                    CHECK(difference(*session.outputs(), reference::execute(*c.graph, c.seed, 1), *c.graph,
                                     type == DType::f32   ? 2e-5
                                     : type == DType::f16 ? 3e-3
                                                          : 2e-2,
                                     0) == "");
                    const std::string detail = session.usage().detail, expected = text_of(wanted(l));
                    if (is_played()) CHECK_MESSAGE(detail.ends_with(expected), detail, " instead of ", expected);
                }
}

TEST_CASE("cuda: batches of any rank, against a matrix each or one for all") {
    for (const DType type : {DType::f32, DType::f16})
        for (int layout = 0; layout < 4; ++layout)
            for (const bool shared : {false, true}) {
                const bool trans_a = layout % 2 == 1, trans_b = layout / 2 == 1;
                Graph g("batches");
                const auto shape = [](bool batch, std::int64_t rows, std::int64_t columns, bool turned) {
                    const std::int64_t first = turned ? columns : rows, second = turned ? rows : columns;
                    return batch ? Shape{2, 3, first, second} : Shape{first, second};
                };
                const TensorId a = g.input("a", shape(true, 9, 10, trans_a), type),
                               b = g.input("b", shape(!shared, 10, 16, trans_b), type);
                const TensorId y = g.add(OpKind::matmul, "y", {a, b}, {.trans_a = trans_a, .trans_b = trans_b});
                g.mark_output(g.add(OpKind::gelu, "z", {y}));
                g.mark_output(y);
                const Case c = case_of(std::move(g));
                const auto comm = single_process();
                cuda::CudaSession session(c, *comm, 0);
                session.poison();
                session.run();
                CHECK(difference(*session.outputs(), reference::execute(*c.graph, c.seed, 1), *c.graph,
                                 type == DType::f32 ? (is_played() ? 2e-5 : 2e-4) : 3e-3, 0) == "");
                if (is_played()) CHECK(session.usage().detail.ends_with("in the products: 1 gelu"));
            }
}

TEST_CASE("cuda: a training step with fused products is the one of separate ops") {
    Overrides with = model("tiny-gpt2", 8);
    with.emplace_back("dtype", std::string("f32"));
    Case c = case_of(build_workload("train", with, files()));
    const auto comm = single_process();
    cuda::CudaSession fused(c, *comm, 0);
    c.mapping.algorithm = std::string(cuda::separate);
    cuda::CudaSession apart(c, *comm, 0);
    for (int runs = 0; runs < 2; ++runs) {
        fused.poison();
        fused.run();
        apart.run();
    }
    CHECK(difference(*fused.outputs(), *apart.outputs(), *c.graph, 1e-4, 6 * rate) == "");
    CHECK(apart.usage().detail.find("in the products") == std::string::npos);
    CHECK(fused.first_nonfinite() == "");
    if (!is_played()) return;
    const auto layers = static_cast<int>(c.graph->blocks()[1].repeat);
    const std::string all =
        text_of({{"gelu", layers}, {"gelu_backward", layers}, {"add", 4 * layers}, {"sum_rows", 6 * layers}});
    CHECK_MESSAGE(fused.usage().detail.find(all) != std::string::npos, fused.usage().detail);
    // What exists only within an epilogue needs no memory.
    const auto activations = [](const cuda::CudaSession& s) { return s.usage().memory[3].peak.si(); };
    CHECK(fused.usage().memory[3].level == "activations");
    CHECK(activations(fused) < activations(apart));
}
