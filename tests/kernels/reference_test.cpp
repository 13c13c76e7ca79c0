#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

#include "core/backward.hpp"
#include "core/element.hpp"
#include "core/error.hpp"
#include "core/fill.hpp"
#include "kernels/reference/collective.hpp"
#include "kernels/reference/execution.hpp"
#include "kernels/reference/reference.hpp"

using namespace wb;
using reference::Execution;

namespace {

using Values = std::vector<double>;
const Fill reals{Fill::Kind::uniform, 1.0};

struct Given {
    Shape shape;
    Values values;
};

/// The outputs of one op on given inputs, after `runs` runs.
std::vector<Values> run(OpKind kind, const std::vector<Given>& inputs, const Attributes& a = {}, int runs = 1,
                        DType first = DType::f64) {
    Graph g("one op");
    std::vector<TensorId> in;
    for (const Given& x : inputs)
        in.push_back(g.state("x" + std::to_string(in.size()), x.shape, in.empty() ? first : DType::f64));
    const std::vector<TensorId> out = g.apply(kind, "op", in, a);
    Execution execution(g, 1);
    for (std::size_t i = 0; i < in.size(); ++i) {
        REQUIRE(execution.values(in[i]).size() == inputs[i].values.size());
        execution.values(in[i]) = inputs[i].values;
    }
    for (int i = 0; i < runs; ++i) execution.run();
    std::vector<Values> result;
    for (TensorId id : out) result.push_back(execution.values(id));
    return result;
}

void check(const Values& actual, const Values& expected, double tolerance = 1e-12) {
    REQUIRE(actual.size() == expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i) {
        CAPTURE(i);
        if (std::isinf(expected[i]))
            CHECK(actual[i] == expected[i]);
        else
            CHECK(std::abs(actual[i] - expected[i]) <= tolerance);
    }
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

TEST_CASE("matmul with transposed operands, a batch and a bias") {
    const Given x{{2, 2}, {1, 2, 3, 4}}, w{{2, 3}, {1, 0, 2, 0, 1, 3}}, bias{{3}, {10, 20, 30}};
    check(run(OpKind::matmul, {x, w, bias})[0], {11, 22, 38, 13, 24, 48});
    Attributes a{.trans_a = true};
    check(run(OpKind::matmul, {x, w}, a)[0], {1, 3, 11, 2, 4, 16});
    a.trans_a = false;
    a.trans_b = true;
    check(run(OpKind::matmul, {x, {{3, 2}, {1, 0, 0, 1, 2, 3}}}, a)[0], {1, 2, 8, 3, 4, 18});
    const Given batch{{2, 1, 2}, {1, 2, 3, 4}};
    check(run(OpKind::matmul, {batch, w})[0], {1, 2, 8, 3, 4, 18});
    check(run(OpKind::matmul, {batch, {{2, 2, 1}, {1, 1, 2, -1}}})[0], {3, 2});
}

TEST_CASE("attention is aligned to the last key, shares key-value heads and gives nothing where all keys are masked") {
    Attributes a{.seq = 2, .seq_kv = 3, .heads = 2, .head_dim = 1, .v_head_dim = 1, .scale = 2};
    const Given q{{2, 2}, {0, 0.5, 0, 0.5}}, k{{3, 1}, {0, std::log(2.0), 0}}, v{{3, 1}, {1, 4, 7}};
    std::vector<Values> y = run(OpKind::attention, {q, k, v}, a);  // scores: 0 in head 0; 0, log 2, 0 in head 1
    check(y[0], {4, 4, 4, 4});
    check(y[1], {std::log(3.0), std::log(3.0), std::log(4.0), std::log(4.0)});
    a.causal = true;  // query 0 sees keys 0 and 1
    y = run(OpKind::attention, {q, k, v}, a);
    check(y[0], {2.5, 3, 4, 4});
    check(y[1], {std::log(2.0), std::log(3.0), std::log(3.0), std::log(4.0)});
    a.window = 1;  // each sees only its own position
    y = run(OpKind::attention, {q, k, v}, a);
    check(y[0], {4, 4, 7, 7});
    a.window = 0;
    a.seq = 3;
    a.seq_kv = 2;
    a.heads = 1;
    const double none = -std::numeric_limits<double>::infinity();
    y = run(OpKind::attention, {{{3, 1}, {0, 0, 0}}, {{2, 1}, {1, 1}}, {{2, 1}, {3, 5}}}, a);
    check(y[0], {0, 3, 4});
    check(y[1], {none, 0, std::log(2.0)});
    const Given both{{2, 2}, {3, 100, 5, 100}};  // the values are the first features of the keys
    const Attributes shared{.shared_kv = true, .seq_kv = 2, .head_dim = 2, .v_head_dim = 1};
    check(run(OpKind::attention, {{{1, 2}, {0, 0}}, both, both}, shared)[0], {4});
}

TEST_CASE("the work of attention counts the pairs that the reference visits") {
    for (const bool causal : {false, true})
        for (std::int64_t window : {0, 1, 2, 5})
            for (std::int64_t seq : {1, 3, 6}) {
                Attributes a{
                    .causal = causal, .seq = seq, .seq_kv = 4, .head_dim = 1, .v_head_dim = 1, .window = window};
                // With equal scores exp(lse) is the number of keys a query sees.
                const auto lse =
                    run(OpKind::attention, {{{seq, 1}, Values(seq, 0)}, {{4, 1}, Values(4, 1)}, {{4, 1}, Values(4, 1)}},
                        a)[1];
                double pairs = 0;
                for (double x : lse) pairs += std::exp(x);
                CAPTURE(causal);
                CAPTURE(window);
                CAPTURE(seq);
                CHECK(visible_pairs(a) == doctest::Approx(pairs));
            }
}

TEST_CASE("norms, softmax and activations") {
    Attributes a{.eps = 1};
    const double inverse = 1 / std::sqrt(2.0);  // the variance of 1, 3 is 1
    check(run(OpKind::layernorm, {{{1, 2}, {1, 3}}, {{2}, {1, 2}}, {{2}, {10, 20}}}, a)[0],
          {10 - inverse, 20 + 2 * inverse});
    const double root = 1 / std::sqrt(6.0);  // the mean square is 5
    check(run(OpKind::rmsnorm, {{{1, 2}, {1, 3}}, {{2}, {1, 2}}}, a)[0], {root, 6 * root});
    check(run(OpKind::softmax, {{{2, 2}, {0, std::log(3.0), 1000, 1000}}})[0], {0.25, 0.75, 0.5, 0.5});
    const double u = std::sqrt(2 / std::numbers::pi) * 1.044715;
    check(run(OpKind::gelu, {{{3}, {0, 1, -1}}})[0], {0, 0.5 * (1 + std::tanh(u)), -0.5 * (1 - std::tanh(u))});
    a.tanh_form = false;
    check(run(OpKind::gelu, {{{2}, {1, -1}}}, a)[0], {0.8413447460685429, -0.15865525393145707});
    check(run(OpKind::silu_mul, {{{2}, {0, 1}}, {{2}, {5, 2}}})[0], {0, 2 * sigmoid(1)});
    check(run(OpKind::add, {{{2}, {1, 2}}, {{2}, {10, 20}}})[0], {11, 22});
    check(run(OpKind::sum_rows, {{{3, 2}, {1, 2, 3, 4, 5, 6}}})[0], {9, 12});
}

TEST_CASE("rope turns pairs of features by position, and its inverse turns them back") {
    Attributes a{
        .seq = 2, .rotary_dim = 4, .rotary_offset = 1, .offset = 3, .theta = 16};  // angles: position and position / 4
    const Given x{{2, 5}, {9, 1, 0, 0, 1, 9, 1, 0, 0, 1}};
    const double c0 = std::cos(3), s0 = std::sin(3), c1 = std::cos(0.75), s1 = std::sin(0.75), c2 = std::cos(4),
                 s2 = std::sin(4);
    const Values half = run(OpKind::rope, {x}, a)[0];
    check(half, {9, c0, -s1, s0, c1, 9, c2, -std::sin(1), s2, std::cos(1)});
    a.interleaved = true;
    check(run(OpKind::rope, {x}, a)[0], {9, c0, s0, -s1, c1, 9, c2, s2, -std::sin(1), std::cos(1)});
    a.interleaved = false;
    a.inverse = true;
    check(run(OpKind::rope, {{{2, 5}, half}}, a)[0], x.values);
}

TEST_CASE("tables, positions, last rows, heads and caches put rows where they belong") {
    Attributes a{.offset = 1};  // the table holds rows 1 and 2 of a larger one
    const Given tokens{{3}, {2, 0, 1}}, table{{2, 2}, {1, 2, 3, 4}};
    check(run(OpKind::embed, {tokens, table}, a)[0], {3, 4, 0, 0, 1, 2});
    a.rows = 2;
    const Given dy{{3, 2}, {1, 2, 3, 4, 5, 6}};
    check(run(OpKind::embed_backward, {dy, tokens}, a)[0], {5, 6, 1, 2});
    a.accumulate = true;
    check(run(OpKind::embed_backward, {dy, tokens, table}, a)[0], {6, 8, 4, 6});

    Attributes p{.seq = 2, .offset = 1, .rows = 3};
    const Given x{{4, 1}, {1, 2, 3, 4}};
    check(run(OpKind::position_embed, {x, {{3, 1}, {100, 10, 20}}}, p)[0], {11, 22, 13, 24});
    check(run(OpKind::position_embed_backward, {x}, p)[0], {0, 4, 6});
    p.batch = 2;
    p.rows = 4;
    check(run(OpKind::last_rows, {x}, p)[0], {2, 4});
    check(run(OpKind::last_rows_backward, {{{2, 1}, {5, 6}}}, p)[0], {0, 5, 0, 6});
    p.seq_kv = 3;
    check(run(OpKind::cache_write, {{{6, 1}, {7, 7, 7, 8, 8, 8}}, x}, p)[0], {7, 1, 2, 8, 3, 4});

    Attributes h{.heads = 2, .head_dim = 2, .rotary_dim = 1};
    check(run(OpKind::concat_heads, {{{1, 4}, {1, 2, 3, 4}}, {{1, 1}, {9}}}, h)[0], {1, 2, 9, 3, 4, 9});
    const auto back = run(OpKind::concat_heads_backward, {{{1, 6}, {1, 2, 9, 3, 4, 8}}}, h);
    check(back[0], {1, 2, 3, 4});
    check(back[1], {17});
    const Given own{{1, 4}, {1, 9, 2, 8}};  // per head one feature to multiply and one that passes
    check(run(OpKind::head_matmul, {own, {{2, 1, 2}, {10, 20, 30, 40}}}, h)[0], {10, 20, 9, 60, 80, 8});
}

TEST_CASE("the gate picks the largest logits, the lower expert of equals first") {
    Attributes a{.experts = 4, .topk = 2};
    const Given logits{{2, 4}, {0, std::log(3.0), -1, 0, 5, 5, 5, 5}};
    auto y = run(OpKind::topk_gate, {logits}, a);
    check(y[0], {1, 0, 0, 1});
    check(y[1], {0.75, 0.25, 0.5, 0.5});
    a.sigmoid = true;
    a.scale = 2;
    y = run(OpKind::topk_gate, {logits}, a);
    check(y[0], {1, 0, 0, 1});
    check(y[1], {1.2, 0.8, 1, 1});  // scores 3/4 and 1/2
}

TEST_CASE("expert rows are sorted by expert, then token, then slot") {
    Attributes a{.experts = 3, .topk = 2};
    const Given index{{3, 2}, {2, 0, 0, 2, 0, 1}}, x{{3, 1}, {10, 20, 30}};
    check(run(OpKind::moe_dispatch, {x, index}, a)[0], {10, 20, 30, 30, 10, 20});
    const Given rows{{6, 1}, {1, 2, 3, 4, 5, 6}};
    // Expert 0 has rows 0 to 2 (tokens 0, 1, 2), expert 1 row 3 (token 2), expert 2 rows 4 and 5 (tokens 0, 1).
    const Given w{{3, 1, 2}, {1, 2, 10, 20, 100, 200}};
    check(run(OpKind::grouped_matmul, {rows, w, index}, a)[0], {1, 2, 2, 4, 3, 6, 40, 80, 500, 1000, 600, 1200});
    check(run(OpKind::moe_combine, {rows, index}, a)[0], {6, 8, 7});
    const Given gate{{3, 2}, {0.5, 2, 1, 3, 10, 100}};
    check(run(OpKind::moe_combine, {rows, index, gate}, a)[0], {2 + 2.5, 2 + 18, 30 + 400});
    const auto back = run(OpKind::moe_combine_backward, {x, rows, index, gate}, a);
    check(back[0], {20, 20, 300, 3000, 5, 60});
    check(back[1], {50, 10, 40, 120, 90, 120});
    Attributes t = a;
    t.trans_a = true;
    check(run(OpKind::grouped_matmul, {rows, {{6, 1}, {1, 1, 1, 2, 1, 1}}, index}, t)[0], {6, 8, 11});
}

TEST_CASE("cross entropy of shards joins to that of the whole") {
    const Given logits{{2, 4}, {0, 0, 0, 0, 1, 2, 3, 4}}, targets{{2}, {1, 3}};
    const double lse = std::log(std::exp(1) + std::exp(2) + std::exp(3) + std::exp(4));
    const auto whole = run(OpKind::cross_entropy, {logits, targets});
    check(whole[0], {std::log(4.0), lse - 4});
    check(whole[1], {std::log(4.0), lse});
    Attributes a{.ranks = 2};
    Values parts = run(OpKind::cross_entropy, {{{2, 2}, {0, 0, 1, 2}}, targets}, a)[0];
    check(parts, {0, 2, 0, 2, 1 + std::exp(-1), 0});
    a.offset = 2;
    const Values second = run(OpKind::cross_entropy, {{{2, 2}, {0, 0, 3, 4}}, targets}, a)[0];
    check(second, {0, 2, 0, 4, 1 + std::exp(-1), 4});
    parts.insert(parts.end(), second.begin(), second.end());
    const auto joined = run(OpKind::cross_entropy_join, {{{4, 3}, parts}}, a);
    check(joined[0], whole[0]);
    check(joined[1], whole[1]);
    a.scale = 0.5;
    const auto back = run(OpKind::cross_entropy_backward, {{{2, 2}, {0, 0, 3, 4}}, targets, {{2}, whole[1]}}, a)[0];
    check(back, {0.125, 0.125, 0.5 * std::exp(3 - lse), 0.5 * (std::exp(4 - lse) - 1)});
    CHECK_THROWS_AS(run(OpKind::cross_entropy, {logits, {{2}, {1, 4}}}), ContractError);
}

TEST_CASE("AdamW corrects its bias by the number of the run and rounds the weight of a master copy") {
    Attributes a{.rate = 0.1, .beta1 = 0.9, .beta2 = 0.99, .decay = 0.5};
    const std::vector<Given> in{{{1}, {2}}, {{1}, {-3}}, {{1}, {0}}, {{1}, {0}}};
    // A constant gradient has the corrected moments g and g^2 in every step: each step adds rate - rate * decay * w.
    check(run(OpKind::adamw, in, a)[0], {2 + 0.1 - 0.1}, 1e-9);
    const auto third = run(OpKind::adamw, {{{1}, {1}}, in[1], in[2], in[3]}, a, 3);
    check(third[0], {((1 * 0.95 + 0.1) * 0.95 + 0.1) * 0.95 + 0.1}, 1e-9);
    check(third[1], {-3 * (1 - 0.9 * 0.9 * 0.9)});
    check(third[2], {9 * (1 - 0.99 * 0.99 * 0.99)});
    const auto master = run(OpKind::adamw, {in[0], in[1], in[2], in[3], {{1}, {1}}}, a, 1, DType::bf16);
    check(master[3], {1.05}, 1e-9);
    check(master[0], {1.046875}, 0);  // 1.05 in steps of 2^-7
}

TEST_CASE("a repeat equals the same ops written out, with its own weights in every iteration") {
    const auto layer = [](Graph& g, TensorId x, TensorId w) {
        return g.add(OpKind::add, "residual",
                     {x, g.add(OpKind::gelu, "gelu", {g.add(OpKind::matmul, "layer", {x, w})})});
    };
    for (const bool reversed : {false, true}) {
        Graph loop("loop"), plain("plain");
        const TensorId x = loop.input("x", {2, 3}, DType::f64, reals);
        TensorId w{};
        const TensorId y = loop.repeat(
            3, {x},
            [&](const std::vector<TensorId>& in) {
                w = loop.weight("w", {3, 3}, DType::f64, reals);
                return std::vector<TensorId>{layer(loop, in[0], w)};
            },
            reversed)[0];
        loop.mark_output(y);
        TensorId z = plain.input("x", {2, 3}, DType::f64, reals);
        std::vector<TensorId> weights;
        for (int i = 0; i < 3; ++i) {
            weights.push_back(plain.weight("w" + std::to_string(i), {3, 3}, DType::f64, reals));
            z = layer(plain, z, weights[i]);
        }
        Execution a(loop, 5), b(plain, 5);
        for (int i = 0; i < 3; ++i) b.values(weights[i]) = a.values(w, reversed ? 2 - i : i);
        CHECK(a.values(w, 0) != a.values(w, 1));
        a.run();
        b.run();
        CHECK(a.values(y) == b.values(z));
        const Outputs out = a.outputs();
        REQUIRE(out.size() == 1);
        CHECK(out[0].tensor == y);
        CHECK(out[0].values == b.values(z));
    }
}

TEST_CASE("a carried value may be handed on as another one") {
    Graph g("fibonacci");
    const TensorId one = g.input("one", {1}, DType::f64, {Fill::Kind::constant, 1});
    const TensorId first = g.add(OpKind::add, "first", {one, one});  // 2
    const auto last = g.repeat(4, {one, first}, [&](const std::vector<TensorId>& in) {
        return std::vector<TensorId>{in[1], g.add(OpKind::add, "sum", {in[0], in[1]})};
    });
    g.mark_output(last[0]);
    g.mark_output(last[1]);
    const Outputs out = reference::execute(g, 1);
    CHECK(out.at(0).values == Values{8});  // 1 2 3 5 8 13
    CHECK(out.at(1).values == Values{13});
}

TEST_CASE("what exists before a run is filled from its stream and rounded to its type") {
    Graph g("fill");
    const TensorId x = g.input("x", {4}, DType::bf16, reals);
    g.mark_output(g.add(OpKind::gelu, "y", {x}));
    Execution e(g, 42);
    const FillStream stream(reals, 42, "x", 0);
    for (int i = 0; i < 4; ++i) CHECK(e.values(x)[i] == rounded(stream(i), DType::bf16));
    e.run();
    e.poison();
    CHECK(std::isnan(e.outputs()[0].values[0]));
    e.run();
    CHECK(e.outputs()[0].values == reference::execute(g, 42)[0].values);
}

TEST_CASE("training lowers the loss, run by run, and reports every changed weight and moment") {
    Graph g("training");
    const TensorId ids = g.input("tokens", {8}, DType::int32, {Fill::Kind::integers, 5});
    const TensorId table = g.weight("table", {5, 4}, DType::f64, reals);
    const TensorId x = g.repeat(2, {g.add(OpKind::embed, "embed", {ids, table})}, [&](const std::vector<TensorId>& in) {
        const TensorId w = g.weight("w", {4, 4}, DType::f64, reals);
        const TensorId h = g.add(OpKind::gelu, "gelu", {g.add(OpKind::matmul, "layer", {in[0], w})});
        return std::vector<TensorId>{g.add(OpKind::add, "residual", {in[0], h})};
    })[0];
    Attributes tied{.trans_b = true};
    const TensorId loss =
        g.apply(OpKind::cross_entropy, "loss", {g.add(OpKind::matmul, "head", {x, table}, tied), ids})[0];
    g.mark_output(loss);
    AdamW settings;
    settings.rate = 0.02;
    add_update(g, derive_backward(g), settings);
    Execution e(g, 3);
    double before = std::numeric_limits<double>::infinity();
    for (int i = 0; i < 10; ++i) {
        e.run();
        double sum = 0;
        for (double v : e.values(loss)) sum += v;
        CHECK(sum < before);
        before = sum;
    }
    CHECK(e.outputs().size() == 1 + 3 + 2 * 3);  // loss; table and its moments; w and its moments, for two layers
}

TEST_CASE("a bare collective gives every rank its due") {
    const Tensor t{"x", {4}, DType::f32, Role::input, reals, -1};
    const auto of = [&](std::int64_t rank, std::int64_t i) {
        return rounded(FillStream(reals, 9, "x", rank)(i), DType::f32);
    };
    const auto result = [&](CollectiveKind kind, std::int64_t rank) {
        return reference::collective_result(kind, 2, rank, 4, t, 9);
    };
    for (std::int64_t rank : {0, 1}) {
        const std::int64_t half = 2 * rank, other = 1 - rank;
        Values sum;
        for (int i = 0; i < 4; ++i) sum.push_back(of(0, i) + of(1, i));
        check(result(CollectiveKind::allreduce, rank), sum);
        check(result(CollectiveKind::reduce_scatter, rank), Values{sum[half], sum[half + 1]});
        check(result(CollectiveKind::allgather, rank), Values{of(0, 0), of(0, 1), of(1, 0), of(1, 1)});
        check(result(CollectiveKind::alltoall, rank),
              Values{of(0, half), of(0, half + 1), of(1, half), of(1, half + 1)});
        check(result(CollectiveKind::broadcast, rank), Values{of(0, 0), of(0, 1), of(0, 2), of(0, 3)});
        check(result(CollectiveKind::send_recv, rank), Values{of(other, 0), of(other, 1), of(other, 2), of(other, 3)});
    }
    Graph g("collective");
    Attributes a{.collective = CollectiveKind::allgather, .ranks = 2};
    g.mark_output(g.add(OpKind::collective, "gather", {g.input("x", {2}, DType::f32, reals)}, a));
    check(reference::execute(g, 9)[0].values, result(CollectiveKind::allgather, 0));
}

TEST_CASE("the reference declines several units, unresolved types and more work than plain loops can do") {
    const auto one = [](std::int64_t n, DType type) {
        auto g = std::make_shared<Graph>("gemm");
        const TensorId x = g->input("x", {n, n}, type, reals), w = g->weight("w", {n, n}, type, reals);
        g->mark_output(g->add(OpKind::matmul, "y", {x, w}));
        Case c;
        c.graph = g;
        return c;
    };
    const auto backend = make_reference();
    CHECK(backend->supports(one(64, DType::int8), 1).yes);
    CHECK_FALSE(backend->supports(one(64, DType::any16), 1).yes);
    CHECK(backend->supports(one(4641, DType::f32), 1).yes);  // 2 n^3 on both sides of 2e11
    CHECK_FALSE(backend->supports(one(4642, DType::f32), 1).yes);
    Case two = one(64, DType::f32);
    two.mapping.tensor = 2;
    CHECK_FALSE(backend->supports(two, 1).yes);

    const auto comm = single_process();
    const auto session = backend->prepare(one(64, DType::f32), *comm);
    CHECK(session->run().elapsed > Seconds(0));
    CHECK(session->outputs()->at(0).values.size() == 64 * 64);
    CHECK(session->usage().useful == Flops(2.0 * 64 * 64 * 64));
    CHECK(session->usage().memory.at(0).peak == Bytes(3.0 * 64 * 64 * 8));
    auto large = std::make_shared<Graph>("large");
    large->mark_output(large->add(OpKind::gelu, "y", {large->input("x", {std::int64_t{1} << 40}, DType::f32, reals)}));
    Case c;
    c.graph = large;
    CHECK_THROWS_AS(backend->prepare(c, *comm), Error);
}
