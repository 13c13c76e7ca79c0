#include "kernels/workloads/model/stored.hpp"

#include <algorithm>

namespace wb {
namespace {

bool stored(const Tensor& t) { return t.role == Role::weight || t.role == Role::state; }

TensorId same(Graph& g, const Tensor& t) {
    return t.role == Role::weight ? g.weight(t.name, t.shape, t.dtype, t.fill)
                                  : g.state(t.name, t.shape, t.dtype, t.fill);
}

}  // namespace

void move_stored(Graph& g, const Graph& of, OpKind how, const std::string& phase, std::int64_t experts) {
    g.phase(phase);
    const std::string suffix = "." + std::string(name(how));
    Attributes a;
    a.experts = experts;
    const auto move_block = [&](int block) {
        for (const Tensor& t : of.tensors())
            if (stored(t) && t.block == block) g.apply(how, t.name + suffix, {same(g, t)}, a);
    };
    move_block(-1);
    for (std::size_t b = 0; b < of.blocks().size(); ++b) {
        const int block = static_cast<int>(b);
        if (std::none_of(of.tensors().begin(), of.tensors().end(),
                         [&](const Tensor& t) { return stored(t) && t.block == block; }))
            continue;
        g.repeat(of.blocks()[b].repeat, {}, [&](const std::vector<TensorId>&) {
            move_block(block);
            return std::vector<TensorId>{};
        });
    }
}

}  // namespace wb
