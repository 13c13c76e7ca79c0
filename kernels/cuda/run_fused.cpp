#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <string_view>
#include <tuple>

#include "core/error.hpp"
#include "kernels/cuda/fused.hpp"
#include "kernels/cuda/trial.hpp"

namespace wb::cuda {
namespace {

using Summed = Fusion::Summed;

const Op& op_at(const Setup& setup, int i) { return setup.graph.ops()[static_cast<std::size_t>(i)]; }

ProductShape shape_of(const Setup& setup, const Fusion& f) {
    ProductShape s = product_of({setup, op_at(setup, f.product)});
    using Activation = Epilogue::Activation;
    if (f.activation >= 0)
        s.epilogue.activation =
            op_at(setup, f.activation).kind == OpKind::gelu ? Activation::gelu : Activation::gelu_backward;
    s.epilogue.kept = f.kept;
    s.epilogue.add = f.add >= 0;
    s.epilogue.sum = f.summed;
    return s;
}

std::optional<Products::Way> way_of(const Setup& setup, const Fusion& f) {
    const ProductShape s = shape_of(setup, f);
    return setup.products.find(s, alignment_of(s), setup.stream);
}

/// Seconds of an op by its own kernel, found once for each shape in a process.
double own_seconds(const Setup& setup, const Op& op) {
    const Shape& shape = setup.graph.tensor(op.in[0]).shape;
    const DType type = setup.graph.tensor(op.in[0]).dtype;
    static std::mutex mutex;
    static std::map<std::tuple<int, OpKind, DType, std::int64_t, std::int64_t>, double> known;
    const std::scoped_lock lock(mutex);
    const auto [entry, is_new] = known.try_emplace({used_device(), op.kind, type, elements(shape), shape.back()}, 0.0);
    if (!is_new) return entry->second;
    Scratch scratch;
    const Setup alone{setup.graph,    setup.stream,      scratch,      setup.steps,
                      setup.products, setup.collectives, setup.device, setup.missing};
    const Runner runner = make_runner({alone, op});
    scratch.allocate();
    std::vector<Trial> operands;
    std::vector<void*> at;
    for (const std::vector<TensorId>* ids : {&op.in, &op.out})
        for (const TensorId id : *ids) operands.emplace_back(setup.graph.elements(id), type, setup.stream);
    for (const Trial& operand : operands) at.push_back(operand.data());
    return entry->second = trial_seconds(setup.stream, [&] { runner.run(at.data()); });
}

/// Seconds of a product with the ops of `part` in its epilogue and the rest of `all` after it; nothing where they were
/// not found.
std::optional<double> seconds_of(const Setup& setup, const Fusion& part, const Fusion& all) {
    const std::optional<Products::Way> way = way_of(setup, part);
    if (!way || way->seconds == 0) return {};
    double sum = way->seconds;
    const std::vector<int> within = part.others();
    for (const int i : all.others())
        if (std::find(within.begin(), within.end(), i) == within.end()) sum += own_seconds(setup, op_at(setup, i));
    return sum;
}

/// Everything less than `f` that its product could do.
std::vector<Fusion> parts_of(const Fusion& f) {
    Fusion follower = f, sum = f;
    follower.sum = -1;
    follower.summed = Summed::none;
    sum.activation = sum.add = -1;
    sum.kept = false;
    std::vector<Fusion> out{{f.product}};
    if (f.others().size() < 2) return out;
    out.push_back(follower);
    if (f.summed != Summed::result) out.push_back(sum);
    return out;
}

bool accepts(const Setup& setup, const Fusion& f) {
    const ProductShape s = product_of({setup, op_at(setup, f.product)});
    if (s.in != s.out || s.in == DType::f64) return false;
    const std::optional<Products::Way> way = way_of(setup, f);
    if (!way) return false;
    if (way->seconds == 0) return true;
    try {
        for (const Fusion& part : parts_of(f))
            if (const std::optional<double> apart = seconds_of(setup, part, f); apart && *apart < way->seconds)
                return false;
    } catch (const Error&) {  // no room for trial operands
        forget_error();
    }
    return true;
}

}  // namespace

FusedOps fuse_products(const Setup& setup) {
    return fuse(setup.graph, [&](const Fusion& f) { return accepts(setup, f); });
}

FusedRunner make_fused(const Setup& setup, const Fusion& f) {
    const ProductShape s = shape_of(setup, f);
    Products* const products = &setup.products;
    const Stream stream = setup.stream;
    const Op& product = op_at(setup, f.product);
    FusedRunner out;
    const auto operand = [&](TensorId id) {
        out.operands.push_back(id);
        return static_cast<int>(out.operands.size()) - 1;
    };
    int y = f.product, bias = -1, added = -1, argument = -1, sum = -1;
    const int a = operand(product.in[0]), b = operand(product.in[1]);
    if (s.bias) bias = operand(product.in[2]);
    if (f.kept) argument = operand(product.out[0]);
    if (f.activation >= 0) {
        y = f.activation;
        if (!f.kept && op_at(setup, y).kind == OpKind::gelu_backward) argument = operand(op_at(setup, y).in[1]);
    }
    if (f.add >= 0) {
        y = f.add;
        const Op& add = op_at(setup, y);
        added = operand(add.in[add.in[0] == product.out[0] ? 1 : 0]);
    }
    if (f.sum >= 0) sum = operand(op_at(setup, f.sum).out[0]);
    y = operand(op_at(setup, y).out[0]);
    const int way = products->prepare(s, alignment_of(s), stream);
    out.runner = {[=](Operands p) {
                      const auto at = [p](int i) { return i < 0 ? nullptr : p[i]; };
                      products->run(way, {p[a], p[b], p[y], at(bias), at(added), at(argument), at(sum)}, stream);
                  },
                  products->library()};
    return out;
}

std::string text_of(const FusedOps& fused, const Graph& graph) {
    std::map<std::string_view, std::int64_t> executions;
    for (const Fusion& f : fused.fusions)
        for (const int i : f.others())
            executions[name(graph.ops()[static_cast<std::size_t>(i)].kind)] += graph.block_of(i).repeat;
    if (executions.empty()) return {};
    std::vector<std::string> words;
    for (const auto& [kind, count] : executions) words.push_back(fmt::format("{} {}", count, kind));
    return fmt::format("in the products: {}", fmt::join(words, ", "));
}

}  // namespace wb::cuda
