#include "core/fusion.hpp"

#include <doctest/doctest.h>

#include <map>
#include <string>

#include "core/memory_plan.hpp"
#include "core/tables.hpp"

using namespace wb;

namespace {

using Ids = std::vector<TensorId>;
using Counts = std::map<std::string, std::int64_t>;

/// A graph and words for its ops; all matrices are [8, 8].
struct Sketch {
    Graph g{"sketch"};
    int ops = 0;
    TensorId input() { return g.input("x" + std::to_string(g.tensors().size()), {8, 8}, DType::f32); }
    TensorId op(OpKind kind, Ids in, const Attributes& a = {}) {
        return g.add(kind, std::string(name(kind)) + std::to_string(ops++), std::move(in), a);
    }
    TensorId product(const Attributes& a = {}) { return op(OpKind::matmul, {input(), input()}, a); }
};

/// Executions of a run that are computed with a product, by kind.
Counts fused_of(const Graph& g) {
    Counts out;
    for (const Fusion& f : fuse(g, [](const Fusion&) { return true; }).fusions)
        for (const int i : f.others()) out[std::string(name(g.ops()[i].kind))] += g.block_of(i).repeat;
    return out;
}

}  // namespace

TEST_CASE("fusion: the gelu of a product keeps its argument only for others that read it") {
    Sketch s;
    const TensorId alone = s.product(), read = s.product(), shown = s.product();
    s.g.mark_output(s.op(OpKind::gelu, {alone}));
    s.g.mark_output(s.op(OpKind::gelu, {read}));
    s.g.mark_output(s.op(OpKind::softmax, {read}));
    s.g.mark_output(s.op(OpKind::gelu, {shown}));
    s.g.mark_output(shown);
    const FusedOps found = fuse(s.g, [](const Fusion&) { return true; });
    REQUIRE(found.fusions.size() == 3);
    CHECK(!found.fusions[0].kept);
    CHECK(found.fusions[1].kept);
    CHECK(found.fusions[2].kept);
    CHECK(found.is_absent(alone));
    CHECK(!found.is_absent(read));
    CHECK(found.place_of(3) == 0);
    CHECK(!plan_memory(s.g, 64, found).places[index(alone)].stored);
    CHECK(plan_memory(s.g, 64, found).places[index(read)].stored);
    Sketch erf;
    erf.g.mark_output(erf.op(OpKind::gelu, {erf.product()}, {.tanh_form = false}));
    CHECK(fused_of(erf.g).empty());
}

TEST_CASE("fusion: nothing that a second reader would miss is computed within a product") {
    for (const OpKind kind : {OpKind::add, OpKind::gelu_backward})
        for (const char* second : {"none", "reader", "output", "carried", "twice"}) {
            CAPTURE(name(kind));
            CAPTURE(second);
            const std::string how = second;
            Sketch s;
            const TensorId other = s.input();
            const auto build = [&](TensorId from) {
                const TensorId p = s.op(OpKind::matmul, {from, s.input()});
                const TensorId y = s.op(kind, {p, how == "twice" ? p : other});
                if (how == "reader") s.g.mark_output(s.op(OpKind::softmax, {p}));
                if (how == "output") s.g.mark_output(p);
                return how == "carried" ? std::pair(p, y) : std::pair(y, y);
            };
            s.g.mark_output(s.g.repeat(3, {s.input(), s.input()}, [&](const Ids& in) {
                const auto [p, y] = build(in[0]);
                return Ids{p, y};
            })[1]);
            CHECK(fused_of(s.g)[std::string(name(kind))] == (how == "none" ? 3 : 0));
        }
}

TEST_CASE("fusion: what is added must be there when the product is computed") {
    Sketch late;
    const TensorId early_product = late.product();
    const TensorId late_product = late.product();
    late.g.mark_output(late.op(OpKind::add, {early_product, late_product}));
    const FusedOps found = fuse(late.g, [](const Fusion&) { return true; });
    REQUIRE(found.fusions.size() == 1);
    CHECK(found.fusions[0].product == 1);  // the later one, to which the first is added
    Sketch never;
    const TensorId p = never.product();
    never.g.mark_output(never.op(OpKind::add, {p, never.op(OpKind::softmax, {never.input()})}));
    CHECK(fused_of(never.g).empty());
    Sketch changed;  // between product and sum
    const TensorId state = changed.g.state("cache", {8, 8}, DType::f32);
    const TensorId q = changed.product();
    changed.g.apply(OpKind::cache_write, "write", {state, changed.input()}, {.seq = 8, .seq_kv = 8});
    changed.g.mark_output(changed.op(OpKind::add, {q, state}));
    CHECK(fused_of(changed.g).empty());
    Sketch apart;  // another phase
    const TensorId r = apart.product();
    apart.g.phase("next");
    apart.g.mark_output(apart.op(OpKind::gelu, {r}));
    CHECK(fused_of(apart.g).empty());
}

TEST_CASE(
    "fusion: a bias's gradient goes with the gelu_backward whose result it adds up, else with a product that reads "
    "the same rows along k") {
    for (const bool trans_a : {false, true})
        for (const bool trans_b : {false, true}) {
            Sketch s;
            const TensorId a = s.input(), b = s.input();
            s.g.mark_output(s.op(OpKind::matmul, {a, b}, {.trans_a = trans_a, .trans_b = trans_b}));
            s.g.mark_output(s.op(OpKind::sum_rows, {a}));
            s.g.mark_output(s.op(OpKind::sum_rows, {b}));
            const FusedOps found = fuse(s.g, [](const Fusion&) { return true; });
            const Fusion::Summed wanted = !trans_b  ? Fusion::Summed::second
                                          : trans_a ? Fusion::Summed::first
                                                    : Fusion::Summed::none;
            CHECK((found.fusions.empty() ? Fusion::Summed::none : found.fusions[0].summed) == wanted);
            if (!found.fusions.empty()) CHECK(found.fusions[0].sum == (wanted == Fusion::Summed::first ? 1 : 2));
        }
    Sketch s;
    const TensorId d = s.op(OpKind::gelu_backward, {s.product(), s.input()});
    s.g.mark_output(s.op(OpKind::matmul, {s.input(), d}, {.trans_a = true}));
    s.g.mark_output(s.op(OpKind::sum_rows, {d}));
    CHECK(fuse(s.g, [](const Fusion&) { return true; }).fusions[0].summed == Fusion::Summed::result);
    const FusedOps other = fuse(s.g, [](const Fusion& f) { return f.summed != Fusion::Summed::result; });
    REQUIRE(other.fusions.size() == 2);  // a library without the first: what is left is offered again
    CHECK(other.fusions[0].others() == std::vector<int>{1});
    CHECK(other.fusions[1].summed == Fusion::Summed::second);
}

TEST_CASE("fusion: of a training step of GPT-2 every activation, residual and bias gradient of a layer") {
    const Files files({std::string(WB_SOURCE_DIR) + "/configs"});
    const auto graph = [&](const char* workload, const char* model) {
        return build_workload(
            workload, {{"model", std::string(model)}, {"batch", std::int64_t{1}}, {"seq", std::int64_t{64}}}, files);
    };
    // Of each of 12 layers: residuals 2, sums of gradients of the input of q, k and v 2, bias gradients 6.
    CHECK(fused_of(graph("train", "gpt2")) ==
          Counts{{"gelu", 12}, {"gelu_backward", 12}, {"add", 48}, {"sum_rows", 72}});
    CHECK(fused_of(graph("decode", "gpt2")) == Counts{{"gelu", 12}, {"add", 24}});
    CHECK(fused_of(graph("decode", "llama3-8b")) == Counts{{"add", 64}});
}
