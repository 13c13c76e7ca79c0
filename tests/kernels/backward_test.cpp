#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>

#include "core/backward.hpp"
#include "core/error.hpp"
#include "kernels/reference/execution.hpp"
#include "tests/kernels/arena.hpp"

using namespace wb;
using reference::Execution;

namespace {

const Fill reals{Fill::Kind::uniform, 1.0};
using Ids = std::vector<TensorId>;

/// A forward pass whose scalar is either the sum of an output times a given seed gradient, or the mean cross entropy.
struct Forward {
    TensorId value;  ///< an op's output; cross entropy: the losses of the rows
    bool loss = false;
};

/// Compares the gradient of every weight element with a central difference; the scalar is summed over all its elements.
void check(const std::function<Forward(Graph&)>& build, double tolerance = 2e-7) {
    Graph g("forward");
    const Forward f = build(g);
    std::vector<Gradient> seeds;
    if (!f.loss) seeds.push_back({f.value, g.input("seed gradient", g.tensor(f.value).shape, DType::f64, reals)});
    const std::vector<Gradient> gradients = derive_backward(g, seeds);
    Graph training = g;
    add_update(training, gradients);
    CHECK(Arena(training).first_lost() == "");
    CHECK(Arena(training, fuse(training, [](const Fusion&) { return true; })).first_lost() == "");

    Graph plain("forward");
    const Forward again = build(plain);
    const TensorId seed = f.loss ? TensorId{-1} : seeds[0].gradient;
    Execution analytic(g, 7), numeric(plain, 7);
    const auto scalar = [&] {
        numeric.run();
        const std::vector<double>& y = numeric.values(again.value);
        double sum = 0;
        for (std::size_t i = 0; i < y.size(); ++i)
            sum += f.loss ? y[i] / static_cast<double>(y.size()) : y[i] * analytic.values(seed)[i];
        return sum;
    };
    analytic.run();
    for (std::size_t t = 0; t < plain.tensors().size(); ++t) {
        const TensorId id = tensor_id(t);
        if (plain.tensor(id).role != Role::weight) continue;
        const auto found =
            std::find_if(gradients.begin(), gradients.end(), [&](const Gradient& x) { return x.of == id; });
        REQUIRE_MESSAGE(found != gradients.end(), "no gradient of ", plain.tensor(id).name);
        CHECK(g.tensor(found->gradient).shape == plain.tensor(id).shape);
        for (std::int64_t k = 0; k < plain.instances(id); ++k)
            for (std::int64_t i = 0; i < plain.elements(id); ++i) {
                double& x = numeric.values(id, k)[i];
                const double at = x, step = 1e-5;
                x = at + step;
                const double above = scalar();
                x = at - step;
                const double below = scalar();
                x = at;
                const double expected = (above - below) / (2 * step), actual = analytic.values(found->gradient, k)[i];
                CHECK_MESSAGE(std::abs(actual - expected) <= tolerance * std::max(1.0, std::abs(expected)),
                              plain.tensor(id).name, "[", k, "][", i, "]: ", actual, " instead of ", expected);
            }
    }
    CHECK(!gradients.empty());
}

TensorId weight(Graph& g, const std::string& name, Shape shape) {
    return g.weight(name, std::move(shape), DType::f64, reals);
}
TensorId tokens(Graph& g, std::int64_t n, double vocabulary) {
    return g.input("tokens", {n}, DType::int32, {Fill::Kind::integers, vocabulary});
}

/// One op on weights of the given shapes.
void check_op(OpKind kind, const std::vector<Shape>& shapes, const Attributes& a = {}) {
    CAPTURE(name(kind));
    check([&](Graph& g) {
        Ids in;
        for (const Shape& shape : shapes) in.push_back(weight(g, "w" + std::to_string(in.size()), shape));
        return Forward{g.add(kind, "op", in, a)};
    });
}

}  // namespace

TEST_CASE("gradients of matmul match central differences") {
    check_op(OpKind::matmul, {{3, 4}, {4, 5}, {5}});
    Attributes a{.trans_b = true};
    check_op(OpKind::matmul, {{3, 4}, {5, 4}, {5}}, a);
    check_op(OpKind::matmul, {{2, 3, 4}, {2, 5, 4}}, a);
    check_op(OpKind::matmul, {{2, 3, 4}, {2, 4, 5}});
    CHECK_THROWS_AS(check_op(OpKind::matmul, {{2, 3, 4}, {4, 5}}), Error);
}

TEST_CASE("gradients of attention match central differences") {
    Attributes a{
        .batch = 2, .seq = 3, .seq_kv = 4, .heads = 4, .kv_heads = 2, .head_dim = 3, .v_head_dim = 2, .scale = 0.7};
    const std::vector<Shape> shapes{{6, 12}, {8, 6}, {8, 4}};
    check_op(OpKind::attention, shapes, a);
    a.causal = true;
    check_op(OpKind::attention, shapes, a);
    a.window = 2;
    check_op(OpKind::attention, shapes, a);
    a.window = 0;
    a.seq = 5;  // the first query of each sequence sees no key
    check_op(OpKind::attention, {{10, 12}, {8, 6}, {8, 4}}, a);
}

TEST_CASE("gradients of norms and activations match central differences") {
    Attributes a{.eps = 1e-3};
    check_op(OpKind::layernorm, {{3, 5}, {5}, {5}}, a);
    check_op(OpKind::rmsnorm, {{3, 5}, {5}}, a);
    check_op(OpKind::rmsnorm, {{3, 8}, {4}}, {.heads = 2, .eps = 1e-3});
    check_op(OpKind::softmax, {{3, 5}});
    check_op(OpKind::gelu, {{3, 5}});
    a.tanh_form = false;
    check_op(OpKind::gelu, {{3, 5}}, a);
    check_op(OpKind::silu_mul, {{3, 5}, {3, 5}});
    check_op(OpKind::add, {{3, 5}, {3, 5}});
}

TEST_CASE("gradients of ops on heads, rows and tables match central differences") {
    Attributes a{.seq = 3, .heads = 2, .rotary_dim = 4, .rotary_offset = 1, .offset = 2, .theta = 100};
    check_op(OpKind::rope, {{6, 12}}, a);
    a.interleaved = true;
    check_op(OpKind::rope, {{6, 12}}, a);
    a.inverse = true;
    check_op(OpKind::rope, {{6, 12}}, a);
    a.head_dim = 3;
    check_op(OpKind::concat_heads, {{4, 6}, {4, 4}}, a);
    a.batch = 2;
    check_op(OpKind::last_rows, {{6, 5}}, a);
    check_op(OpKind::position_embed, {{6, 4}, {7, 4}}, a);
    check([](Graph& g) {
        return Forward{g.add(OpKind::embed, "embed", {tokens(g, 6, 4), weight(g, "table", {4, 3})})};
    });
    const Attributes shard{.offset = 2};  // tokens 0 and 1 belong to another shard
    check([&](Graph& g) {
        return Forward{g.add(OpKind::embed, "embed", {tokens(g, 9, 5), weight(g, "table", {3, 3})}, shard)};
    });
}

TEST_CASE("the gradient of the mean cross entropy matches central differences, also with a table used twice") {
    check([](Graph& g) {
        return Forward{g.apply(OpKind::cross_entropy, "loss", {weight(g, "logits", {4, 5}), tokens(g, 4, 5)})[0], true};
    });
    check([](Graph& g) {
        const TensorId ids = tokens(g, 4, 5), table = weight(g, "table", {5, 3});
        Attributes tied{.trans_b = true};
        const TensorId x = g.add(OpKind::gelu, "gelu", {g.add(OpKind::embed, "embed", {ids, table})});
        const TensorId logits = g.add(OpKind::matmul, "head", {x, table}, tied);
        return Forward{g.apply(OpKind::cross_entropy, "loss", {logits, ids})[0], true};
    });
}

namespace {

TensorId mixture(Graph& g, const Attributes& a) {
    const TensorId x = weight(g, "x", {6, 3});
    const Ids gate =
        g.apply(OpKind::topk_gate, "gate", {g.add(OpKind::matmul, "router", {x, weight(g, "wr", {3, a.experts})})}, a);
    const TensorId rows = g.add(OpKind::moe_dispatch, "dispatch", {x, gate[0]}, a);
    Attributes transposed = a;
    transposed.trans_b = true;
    const TensorId h = g.add(OpKind::grouped_matmul, "up", {rows, weight(g, "w1", {a.experts, 3, 4}), gate[0]}, a);
    const TensorId y =
        g.add(OpKind::grouped_matmul, "down", {h, weight(g, "w2", {a.experts, 2, 4}), gate[0]}, transposed);
    return g.add(OpKind::moe_combine, "combine", {y, gate[0], gate[1]}, a);
}

}  // namespace

TEST_CASE("gradients through a mixture of experts match central differences") {
    Attributes a{.experts = 5, .topk = 2};
    check([&](Graph& g) { return Forward{mixture(g, a)}; });
    a.sigmoid = true;
    a.scale = 2.5;
    check([&](Graph& g) { return Forward{mixture(g, a)}; });
}

TEST_CASE("experts combined without gates have gradients too, and the router then has none") {
    Attributes a{.experts = 3, .topk = 2};
    check([&](Graph& g) {
        const TensorId x = weight(g, "x", {4, 3});
        const TensorId logits = g.input("logits", {4, 3}, DType::f64, reals);
        const TensorId which = g.apply(OpKind::topk_gate, "gate", {logits}, a)[0];
        const TensorId rows = g.add(OpKind::moe_dispatch, "dispatch", {x, which}, a);
        return Forward{g.add(OpKind::moe_combine, "combine", {g.add(OpKind::gelu, "gelu", {rows}), which}, a)};
    });
}

TEST_CASE("gradients through repeated blocks match central differences, in both directions") {
    for (const bool reversed : {false, true})
        check([&](Graph& g) {
            const TensorId x = weight(g, "x", {3, 4});
            const TensorId first = g.add(OpKind::gelu, "first", {x});
            const Ids out = g.repeat(
                3, {first},
                [&](const Ids& in) {
                    const TensorId h = g.add(OpKind::matmul, "layer", {in[0], weight(g, "w", {4, 4})});
                    const TensorId y = g.add(OpKind::gelu, "gelu", {h});
                    return Ids{g.add(OpKind::add, "residual", {in[0], y})};
                },
                reversed);
            return Forward{g.add(OpKind::matmul, "head", {out[0], weight(g, "head", {4, 2})})};
        });
}

TEST_CASE("gradients through two carried values and two repeats in a row match central differences") {
    check([](Graph& g) {
        const auto body = [&](const std::string& label) {
            return [&g, label](const Ids& in) {
                const TensorId u = g.add(OpKind::matmul, label + "u", {in[1], weight(g, label + "wu", {3, 3})});
                const TensorId v = g.add(OpKind::silu_mul, label + "v", {in[0], u});
                return Ids{g.add(OpKind::add, label + "s", {in[0], u}), v};
            };
        };
        const Ids first = g.repeat(2, {weight(g, "x", {2, 3}), weight(g, "y", {2, 3})}, body("a"));
        const Ids second = g.repeat(3, first, body("b"));
        return Forward{g.add(OpKind::add, "sum", {second[0], second[1]})};
    });
}

TEST_CASE("a weight or value that all iterations share gets the sum of their gradients") {
    check([](Graph& g) {
        const TensorId w = weight(g, "shared", {3, 3});
        const TensorId condition = g.add(OpKind::gelu, "condition", {weight(g, "c", {2, 3})});
        const Ids out = g.repeat(3, {weight(g, "x", {2, 3})}, [&](const Ids& in) {
            const TensorId h = g.add(OpKind::matmul, "layer", {in[0], w});
            return Ids{g.add(OpKind::silu_mul, "mix", {h, g.add(OpKind::add, "sum", {in[0], condition})})};
        });
        return Forward{g.add(OpKind::matmul, "head", {out[0], w})};  // and used once more outside
    });
}

TEST_CASE("a carried value whose last value nobody reads still carries a gradient back") {
    check([](Graph& g) {
        const Ids out = g.repeat(3, {weight(g, "x", {2, 3}), weight(g, "y", {2, 3})}, [&](const Ids& in) {
            const TensorId u = g.add(OpKind::matmul, "u", {in[0], weight(g, "w", {3, 3})});
            return Ids{g.add(OpKind::gelu, "next", {u}), g.add(OpKind::silu_mul, "v", {in[1], u})};
        });
        return Forward{g.add(OpKind::gelu, "end", {out[1]})};
    });
}

TEST_CASE("a value handed on as two carried values gets both gradients") {
    check([](Graph& g) {
        const Ids out = g.repeat(2, {weight(g, "x", {2, 3}), weight(g, "y", {2, 3})}, [&](const Ids& in) {
            const TensorId y = g.add(OpKind::silu_mul, "v", {g.add(OpKind::gelu, "g", {in[0]}), in[1]});
            return Ids{y, y};
        });
        return Forward{g.add(OpKind::silu_mul, "end", {out[0], out[1]})};
    });
}
