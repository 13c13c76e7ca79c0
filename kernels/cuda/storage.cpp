#include "kernels/cuda/storage.hpp"

#include <algorithm>

#include "core/element.hpp"
#include "core/fill_source.hpp"
#include "kernels/cuda/kernels.hpp"

namespace wb::cuda {
namespace {

/// From a source that only the host can read.
void fill_from_source(const Tensor& t, const FillRule& rule, std::int64_t instance, std::byte* to, Stream stream) {
    const std::int64_t count = elements(t.shape), each = stored_bytes(t.dtype);
    std::vector<std::byte> values(static_cast<std::size_t>(count * each));
    for (std::int64_t i = 0; i < count; ++i)
        encode(t.fill.source->value(instance, rule.first + i / rule.run * rule.stride + i % rule.run), t.dtype,
               values.data() + i * each);
    copy_to_device(to, values.data(), count * each, stream);
}

/// All instances of a tensor from its fill.
void fill_slots(const Tensor& t, const Partition::Piece& piece, const Shape& whole, const MemoryPlan::Place& place,
                const Memory& to, std::uint64_t seed, int rank, Stream stream) {
    if (t.fill.kind == Fill::Kind::none) return set_bytes(to.data(), 0, to.bytes(), stream);
    const GlobalIndex lie = global_index(t.shape, piece, whole);
    FillRule rule{t.fill.kind, t.fill.a, 0, lie.first, lie.run, lie.stride};
    const bool own = piece.layout.kind == Layout::Kind::own;  // a buffer for each rank: the rank is the instance
    for (std::int64_t k = 0; k < place.slots; ++k) {
        const std::int64_t instance = own ? rank : k;
        std::byte* const at = to.data() + k * place.stride;
        if (t.fill.kind == Fill::Kind::source) {
            fill_from_source(t, rule, instance, at, stream);
            continue;
        }
        rule.key = fill_key(t.fill, seed, t.name, instance);
        fill(stream, t.dtype, at, elements(t.shape), rule);
    }
}

}  // namespace

double memory_needed(const Graph& graph, const Mapping& mapping, int rank) {
    double sum = 0;  // a composition is run phase by phase, all of them ready at once
    for (const Graph* g : graph.leaves())
        sum += plan_memory(part_of(*g, mapping, rank).local, place_alignment).total().si();
    return sum;
}

DeviceStorage::DeviceStorage(const Graph& graph, const std::vector<Partition::Piece>& pieces, const Graph& whole,
                             MemoryPlan plan, std::uint64_t seed, int rank, Stream stream)
    : graph_(graph), plan_(std::move(plan)), arena_(plan_.arena_bytes) {
    set_bytes(arena_.data(), 0, arena_.bytes(), stream);
    own_.resize(graph.tensors().size());
    for (std::size_t i = 0; i < own_.size(); ++i) {
        const MemoryPlan::Place& place = plan_.places[i];
        if (!place.stored || place.in_arena) continue;
        const Tensor& t = graph.tensors()[i];
        own_[i] = Memory(place.slots * place.stride);
        const Shape& all =
            index(pieces[i].whole) < whole.tensors().size() ? whole.tensor(pieces[i].whole).shape : t.shape;
        fill_slots(t, pieces[i], all, place, own_[i], seed, rank, stream);
    }
}

std::byte* DeviceStorage::at(TensorId id, std::int64_t iteration) const {
    const Location where = locate(graph_, id, iteration);
    const MemoryPlan::Place& place = plan_.places[index(where.tensor)];
    std::byte* const base = place.in_arena ? arena_.data() + place.offset : own_[index(where.tensor)].data();
    return base + where.instance % place.slots * place.stride;
}

}  // namespace wb::cuda
