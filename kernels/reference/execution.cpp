#include "kernels/reference/execution.hpp"

#include <algorithm>
#include <limits>

#include "core/error.hpp"
#include "kernels/reference/collective.hpp"
#include "kernels/reference/operators.hpp"

namespace wb::reference {
namespace {

/// False for carried values and results of repeats, which are names for other tensors.
std::vector<bool> stored(const Graph& graph) {
    std::vector<bool> out(graph.tensors().size(), true);
    for (const Block& block : graph.blocks())
        for (const Carry& c : block.carries) out[index(c.in)] = out[index(c.result)] = false;
    return out;
}

bool before_run(Role role) { return role == Role::input || role == Role::weight || role == Role::state; }

bool contains(const std::vector<TensorId>& ids, TensorId id) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

double bytes_held(const Graph& graph) {
    const std::vector<bool> own = stored(graph);
    double elements = 0;
    for (std::size_t i = 0; i < own.size(); ++i) {
        const TensorId id = tensor_id(i);
        if (own[i]) elements += static_cast<double>(graph.elements(id)) * static_cast<double>(graph.instances(id));
    }
    return elements * sizeof(double);
}

Execution::Execution(const Graph& graph, std::uint64_t seed)
    : graph_(graph), seed_(seed), values_(graph.tensors().size()) {
    const std::vector<bool> own = stored(graph);
    for (std::size_t i = 0; i < values_.size(); ++i) {
        if (!own[i]) continue;
        const TensorId id = tensor_id(i);
        const Tensor& tensor = graph.tensor(id);
        for (std::int64_t k = 0; k < graph.instances(id); ++k)
            values_[i].push_back(before_run(tensor.role) ? filled(tensor, seed, k, graph.elements(id))
                                                         : std::vector<double>(graph.elements(id), 0.0));
    }
}

std::vector<double>& Execution::values(TensorId id, std::int64_t iteration) {
    const Location at = locate(graph_, id, iteration);
    return values_.at(index(at.tensor)).at(at.instance);
}

const std::vector<double>& Execution::values(TensorId id, std::int64_t iteration) const {
    return const_cast<Execution*>(this)->values(id, iteration);
}

void Execution::run() {
    ++step_;
    for (const Block& block : graph_.blocks())
        for (std::int64_t k = 0; k < block.repeat; ++k)
            for (int i = block.first; i < block.last; ++i)
                run(graph_.ops()[i], block.reversed ? block.repeat - 1 - k : k);
}

void Execution::run(const Op& op, std::int64_t iteration) {
    if (op.kind == OpKind::collective && op.attributes.ranks > 1) {
        const Tensor& in = graph_.tensor(op.in[0]);
        if (in.role != Role::input)
            throw Error({"collective \"" + op.name + "\"", "works on the result of another op",
                         "the reference backend is one process and knows only the filled buffers of other ranks", ""});
        const std::int64_t each = graph_.elements(op.in[0]), ranks = op.attributes.ranks;
        const std::int64_t total = op.attributes.collective == CollectiveKind::allgather ? each * ranks : each;
        values(op.out[0], iteration) = collective_result(op.attributes.collective, ranks, 0, total, in, seed_);
        return;
    }
    const auto view = [&](TensorId id) {
        return View{&graph_.tensor(id).shape, graph_.tensor(id).dtype, values(id, iteration).data()};
    };
    Call call{op.kind, op.attributes, {}, {}, step_};
    for (TensorId id : op.in) call.in.push_back(view(id));
    for (TensorId id : op.out) {
        if (!contains(op.in, id)) std::ranges::fill(values(id, iteration), 0.0);
        call.out.push_back(view(id));
    }
    apply(call);
}

Outputs Execution::outputs() const {
    std::vector<bool> wanted(values_.size(), false);
    for (std::size_t i = 0; i < wanted.size(); ++i) wanted[i] = graph_.tensors()[i].role == Role::output;
    for (const Op& op : graph_.ops())
        for (TensorId id : op.out)
            if (before_run(graph_.tensor(id).role)) wanted[index(id)] = true;
    Outputs out;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        const TensorId id = tensor_id(i);
        const Tensor& tensor = graph_.tensor(id);
        for (std::int64_t k = 0; wanted[i] && k < graph_.instances(id); ++k)
            out.push_back({tensor.name, id, k, tensor.dtype, values(id, k)});
    }
    return out;
}

void Execution::poison() {
    for (std::size_t i = 0; i < values_.size(); ++i)
        if (!before_run(graph_.tensors()[i].role))
            for (std::vector<double>& instance : values_[i])
                std::ranges::fill(instance, std::numeric_limits<double>::quiet_NaN());
}

}  // namespace wb::reference
