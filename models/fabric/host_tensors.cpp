#include "models/fabric/host_tensors.hpp"

#include <algorithm>
#include <limits>

#include "core/element.hpp"
#include "core/fill.hpp"

namespace wb::fabric {
namespace {

std::vector<float> filled(const Tensor& t, std::uint64_t seed) {
    const FillStream stream(t.fill, seed, t.name, 0);
    std::vector<float> out(static_cast<std::size_t>(elements(t.shape)));
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<float>(rounded(stream(static_cast<std::int64_t>(i)), t.dtype));
    return out;
}

}  // namespace

HostTensors::HostTensors(const Graph& graph, std::uint64_t seed, std::int64_t ranks)
    : graph_(graph), seed_(seed), out_(static_cast<std::size_t>(ranks)) {
    const Op& op = graph.ops().front();
    for (const TensorId id : op.in) in_.push_back(ranks > 1 ? std::vector<float>() : filled(graph.tensor(id), seed));
    size_output(graph.elements(op.out.front()));
}

float HostTensors::of_rank(std::int64_t rank, std::int64_t i) const {
    const Tensor& t = graph_.tensor(graph_.ops().front().in.front());
    return static_cast<float>(rounded(FillStream(t.fill, seed_, t.name, rank)(i), t.dtype));
}

void HostTensors::size_output(std::int64_t per_rank) {
    for (std::vector<float>& o : out_) o.assign(static_cast<std::size_t>(per_rank), 0);
}

void HostTensors::poison() {
    for (std::vector<float>& o : out_) std::ranges::fill(o, std::numeric_limits<float>::quiet_NaN());
}

Outputs HostTensors::outputs() const {
    const TensorId id = graph_.ops().front().out.front();
    const Tensor& t = graph_.tensor(id);
    Outputs all;
    for (std::size_t r = 0; r < out_.size(); ++r)
        all.push_back({t.name, id, static_cast<std::int64_t>(r), t.dtype, {out_[r].begin(), out_[r].end()}});
    return all;
}

double host_bytes(const Graph& graph, std::int64_t ranks) {
    const Op& op = graph.ops().front();
    double count = 0;
    if (ranks == 1)
        for (const TensorId id : op.in) count += static_cast<double>(graph.elements(id));
    count += static_cast<double>(graph.elements(op.out.front())) * static_cast<double>(ranks);
    return 4 * count;
}

}  // namespace wb::fabric
