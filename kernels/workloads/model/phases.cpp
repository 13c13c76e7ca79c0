#include "kernels/workloads/model/phases.hpp"

#include <algorithm>

#include "core/backward.hpp"
#include "kernels/workloads/model/stored.hpp"

namespace wb {
namespace {

SharedGraph forward(const char* name, const ModelConfig& model, Pass pass, const Sequence& sequence) {
    auto g = std::make_shared<Graph>(name);
    build_transformer(*g, model, pass, sequence);
    return g;
}

}  // namespace

SharedGraph train_step(const ModelConfig& model, const Sequence& sequence) {
    auto g = std::make_shared<Graph>("train");
    build_transformer(*g, model, Pass::train, sequence);
    add_update(*g, derive_backward(*g));
    return g;
}

SharedGraph held_out_loss(const ModelConfig& model, const Sequence& sequence) {
    return forward("evaluate", model, Pass::train, sequence);
}

SharedGraph prefill_of(const ModelConfig& model, const Sequence& sequence) {
    return forward("prefill", model, Pass::prefill, sequence);
}

SharedGraph decode_of(const ModelConfig& model, const Sequence& sequence) {
    return forward("decode", model, Pass::decode, sequence);
}

SharedGraph staged_tokens(std::int64_t tokens) {
    auto g = std::make_shared<Graph>("stage");
    g->phase("stage");
    const TensorId ids = g->input("tokens", {tokens}, DType::int32, {Fill::Kind::integers, 256});
    g->apply(OpKind::read, "read", {ids});
    g->apply(OpKind::load, "load", {ids});
    return g;
}

SharedGraph compiled(const Graph& of) {
    auto g = std::make_shared<Graph>("compile");
    g->phase("compile");
    Attributes a;
    for (const Block& b : of.blocks()) a.rows += b.repeat * (b.last - b.first);
    g->apply(OpKind::compile, "compile", {}, a);
    return g;
}

SharedGraph loaded(const Graph& of) {
    auto g = std::make_shared<Graph>("load");
    move_stored(*g, of, OpKind::load, "load");
    return g;
}

SharedGraph written(const Graph& of) {
    auto g = std::make_shared<Graph>("checkpoint");
    move_stored(*g, of, OpKind::write, "write");
    return g;
}

SharedGraph restored(const Graph& of) {
    auto g = std::make_shared<Graph>("restore");
    move_stored(*g, of, OpKind::read, "read");
    return g;
}

SharedGraph switched(const Graph& of, std::int64_t experts) {
    auto g = std::make_shared<Graph>("switch");
    move_stored(*g, of, OpKind::load, "switch", experts);
    return g;
}

void then_decode(Graph& g, const ModelConfig& model, const Sequence& sequence, std::int64_t tokens, std::int64_t times,
                 std::int64_t runs) {
    runs = std::min(runs, tokens);
    std::int64_t due = 0;  // cached tokens of steps up to here that no run has stood for yet: halves are carried on
    for (std::int64_t i = 0; i < runs; ++i) {
        const std::int64_t first = tokens * i / runs, last = tokens * (i + 1) / runs, steps = last - first;
        due += (first + last - 1) * steps / 2;
        const std::int64_t middle = (2 * due + steps) / (2 * steps);
        due -= middle * steps;
        Sequence at = sequence;
        at.seq += middle;
        g.then("decode", steps * times, decode_of(model, at));
    }
}

}  // namespace wb
