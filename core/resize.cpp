#include "core/resize.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "core/error.hpp"
#include "core/graph_editor.hpp"

namespace wb {
namespace {

bool sees_sequences(OpKind kind) {
    return kind == OpKind::rope || kind == OpKind::attention || kind == OpKind::cache_write ||
           kind == OpKind::last_rows || kind == OpKind::position_embed;
}

class Resizer {
public:
    Resizer(const Graph& g, const StepShape& to, std::int64_t spare)
        : g_(g), from_(step_shape(g)), to_(to), spare_(spare), editor_(g, false) {}

    Graph run() {
        for (std::size_t b = 0; b < g_.blocks().size(); ++b)
            for (int i = g_.blocks()[b].first; i < g_.blocks()[b].last; ++i) op(i, static_cast<int>(b));
        while (made() < g_.tensors().size()) stored(tensor_id(made()));
        return std::move(editor_.local);
    }

private:
    std::size_t made() const { return editor_.local.tensors().size(); }

    /// Tensors keep their order and so their ids: what no operator makes is there before the operator that follows it.
    void op(int i, int block) {
        const Op& o = g_.ops()[static_cast<std::size_t>(i)];
        std::size_t first = g_.tensors().size();
        for (TensorId id : o.out)
            if (std::find(o.in.begin(), o.in.end(), id) == o.in.end()) first = std::min(first, index(id));
        if (first == g_.tensors().size())  // it works in place: only what it reads must be there
            for (TensorId id : o.in)
                while (made() <= index(id)) stored(tensor_id(made()));
        else
            while (made() < first) stored(tensor_id(made()));
        const std::vector<TensorId> out = editor_.op(o.kind, o.name, o.in, attributes(o), block);
        WB_EXPECT(out == o.out);
        for (TensorId id : out) {
            editor_.at(id).dtype = g_.tensor(id).dtype;
            editor_.at(id).role = g_.tensor(id).role;
        }
    }

    void stored(TensorId id) {
        Tensor t = g_.tensor(id);
        const std::int64_t tokens = from_.batch * from_.step, slots = from_.batch * (from_.cached + from_.step);
        if (t.role == Role::state) {
            if (t.shape.front() != slots) unclear(t.name);
            t.shape.front() = to_.batch * (to_.cached + to_.step + spare_);
        } else if (t.role != Role::weight) {
            if (t.shape.front() != tokens) unclear(t.name);
            t.shape.front() = to_.batch * to_.step;
        }
        editor_.tensor(std::move(t));
    }

    Attributes attributes(const Op& o) const {
        Attributes a = o.attributes;
        if (!sees_sequences(o.kind)) return a;
        a.batch = to_.batch;
        a.seq = to_.step;
        if (o.kind != OpKind::attention && o.kind != OpKind::last_rows) a.offset = to_.cached;
        if (o.kind == OpKind::attention || o.kind == OpKind::cache_write) a.seq_kv = to_.cached + to_.step;
        if (o.kind == OpKind::cache_write) a.seq_kv += spare_;
        return a;
    }

    [[noreturn]] void unclear(const std::string& name) const {
        throw Error({g_.name(), fmt::format("tensor \"{}\" does not follow from sequences and tokens", name),
                     "the graph cannot be made for another batch", ""});
    }

    const Graph& g_;
    StepShape from_, to_;
    std::int64_t spare_;
    GraphEditor editor_;
};

}  // namespace

StepShape step_shape(const Graph& graph) {
    std::optional<StepShape> found;
    for (const Op& o : graph.ops()) {
        if (o.kind != OpKind::attention) continue;
        const Attributes& a = o.attributes;
        const StepShape s{a.batch, a.seq, a.seq_kv - a.seq};
        if (found && *found != s)
            throw Error(
                {graph.name(), "its attentions see different numbers of tokens", "it is no inference step", ""});
        found = s;
    }
    if (!found) throw Error({graph.name(), "has no attention", "it is no inference step of a transformer", ""});
    return *found;
}

Graph resized(const Graph& graph, const StepShape& to, std::int64_t spare) {
    WB_EXPECT(to.batch >= 1 && to.step >= 1 && to.cached >= 0 && spare >= 0);
    return Resizer(graph, to, spare).run();
}

double cache_bytes_per_token(const Graph& graph) {
    const StepShape s = step_shape(graph);
    double bytes = 0;
    for (std::size_t i = 0; i < graph.tensors().size(); ++i) {
        const TensorId id = tensor_id(i);
        if (graph.tensor(id).role == Role::state)
            bytes += graph.bytes(id).si() * static_cast<double>(graph.instances(id));
    }
    return bytes / static_cast<double>(s.batch * (s.cached + s.step));
}

Bytes weight_bytes(const Graph& graph) {
    Bytes sum;
    for (std::size_t i = 0; i < graph.tensors().size(); ++i) {
        const TensorId id = tensor_id(i);
        if (graph.tensor(id).role == Role::weight) sum += graph.bytes(id) * static_cast<double>(graph.instances(id));
    }
    return sum;
}

}  // namespace wb
