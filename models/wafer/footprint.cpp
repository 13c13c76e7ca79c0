#include "models/wafer/footprint.hpp"

#include <algorithm>
#include <cmath>

namespace wb::wafer {
namespace {

/// Bytes that one iteration of a block makes for itself.
double made(const Graph& g, const Block& block) {
    double sum = 0;
    for (int i = block.first; i < block.last; ++i)
        for (TensorId id : g.ops()[static_cast<std::size_t>(i)].out)
            if (g.tensor(id).role == Role::activation) sum += g.bytes(id).si();
    return sum;
}

/// Of all caches, the bytes that one token of one sequence takes, and the tokens already there.
struct Cached {
    double token_bytes = 0, tokens = 0;
};

Cached cached(const Graph& g) {
    Cached sum;
    for (const Op& op : g.ops()) {
        if (op.kind != OpKind::cache_write) continue;
        const Attributes& a = op.attributes;
        const double all = g.bytes(op.in[0]).si() * static_cast<double>(g.instances(op.in[0]));
        sum.token_bytes += all / static_cast<double>(a.seq_kv * a.batch);
        sum.tokens = static_cast<double>(a.offset);
    }
    return sum;
}

}  // namespace

Footprint footprint(const Graph& g) {
    Footprint f;
    for (std::size_t i = 0; i < g.tensors().size(); ++i) {
        const Tensor& t = g.tensors()[i];
        const double bytes = g.bytes(tensor_id(i)).si() * static_cast<double>(g.instances(tensor_id(i)));
        if (t.role == Role::weight) f.weights += bytes;
        if (t.role == Role::state) f.cache += bytes;
        if (t.role == Role::input || t.role == Role::output) f.activations += bytes;
    }
    double most = 0;
    for (const Block& block : g.blocks()) {
        if (block.phase == "update") continue;
        most = std::max(most, made(g, block));
        for (const Carry& c : block.carries)
            if (!block.reversed) f.carried += g.bytes(c.in).si() * static_cast<double>(block.repeat);
    }
    f.activations += most;
    f.parameters = static_cast<double>(g.parameters());
    return f;
}

bool trains(const Graph& g) {
    return std::any_of(g.ops().begin(), g.ops().end(), [](const Op& op) { return op.kind == OpKind::adamw; });
}

bool has_loss(const Graph& g) {
    return std::any_of(g.ops().begin(), g.ops().end(), [](const Op& op) { return op.kind == OpKind::cross_entropy; });
}

double cache_tokens(const Machine& m, const Graph& g, int wafers, CacheManager manager, int rows) {
    const Cached c = cached(g);
    const Footprint f = footprint(g);
    if (c.token_bytes <= 0) return 0;
    const double room = wafers * m.whole().pes() * m.usable_bytes() - f.weights;
    const double tokens = std::floor(room / c.token_bytes) - c.tokens;
    if (tokens <= 0) return 0;
    return manager == CacheManager::shift ? tokens : std::floor(tokens / rows);
}

Seconds transition(const Machine& m, const Graph& g, int wafers) {
    const Footprint f = footprint(g);
    const double bytes = (f.weights + f.cache) / wafers / 2;
    const double middle = 4.0 * std::min(m.mesh.rows, m.mesh.columns);
    return m.seconds(bytes / middle + m.mesh.rows + m.mesh.columns);
}

}  // namespace wb::wafer
