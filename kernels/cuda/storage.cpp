#include "kernels/cuda/storage.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/element.hpp"
#include "core/error.hpp"
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

std::byte* Pool::at(const Tensor& local, const Partition::Piece& piece, const Graph& whole,
                    const MemoryPlan::Place& place) {
    const Shape& all = whole.tensor(piece.whole).shape;
    Entry& e = entries_[fmt::format("{} {} x{}", local.name, name(local.dtype), place.slots)];
    if (!e.memory.data()) {
        e = {local, piece, all, place, Memory(place.slots * place.stride), {}};
    } else if (e.whole != all || e.tensor.shape != local.shape || !(e.piece.layout == piece.layout) ||
               e.piece.first != piece.first || e.piece.first_row != piece.first_row) {
        throw Error({local.name, "is cut differently by two phases", "they could not share it",
                     "Use one rank, or data parallelism."});
    }
    return e.memory.data();
}

void Pool::fill(std::uint64_t seed, int rank, Stream stream) const {
    for (const auto& [key, e] : entries_) fill_slots(e.tensor, e.piece, e.whole, e.place, e.memory, seed, rank, stream);
}

std::vector<StoredPiece> Pool::copied(Stream stream) {
    std::vector<StoredPiece> out;
    for (auto& [key, e] : entries_) {
        e.copy.resize(static_cast<std::size_t>(e.memory.bytes()));
        copy_to_host(e.copy.data(), e.memory.data(), e.memory.bytes(), stream);
        out.push_back({e.tensor.name, e.tensor.dtype, e.place.slots, e.whole, e.tensor.shape, e.piece.layout.dim,
                       e.piece.first, e.copy.data(), e.place.stride});
    }
    return out;
}

void Pool::put_back(Stream stream) {
    for (auto& [key, e] : entries_) {
        copy_to_device(e.memory.data(), e.copy.data(), static_cast<std::int64_t>(e.copy.size()), stream);
        e.copy = {};
    }
}

Bytes Pool::bytes(Role role) const {
    Bytes sum;
    for (const auto& [key, e] : entries_)
        if (e.tensor.role == role) sum += Bytes(static_cast<double>(e.memory.bytes()));
    return sum;
}

DeviceStorage::DeviceStorage(const Graph& graph, const std::vector<Partition::Piece>& pieces, const Graph& whole,
                             MemoryPlan plan, std::uint64_t seed, int rank, Stream stream, Pool* pool)
    : graph_(graph),
      plan_(std::move(plan)),
      arena_(plan_.arena_bytes),
      own_(graph.tensors().size()),
      base_(graph.tensors().size()) {
    set_bytes(arena_.data(), 0, arena_.bytes(), stream);
    for (std::size_t i = 0; i < own_.size(); ++i) {
        const MemoryPlan::Place& place = plan_.places[i];
        if (!place.stored || place.in_arena) continue;
        const Tensor& t = graph.tensors()[i];
        if (pool && (t.role == Role::weight || t.role == Role::state)) {
            base_[i] = pool->at(t, pieces[i], whole, place);
            continue;
        }
        own_[i] = Memory(place.slots * place.stride);
        base_[i] = own_[i].data();
        const Shape& all =
            index(pieces[i].whole) < whole.tensors().size() ? whole.tensor(pieces[i].whole).shape : t.shape;
        fill_slots(t, pieces[i], all, place, own_[i], seed, rank, stream);
    }
}

std::byte* DeviceStorage::at(TensorId id, std::int64_t iteration) const {
    const Location where = locate(graph_, id, iteration);
    const MemoryPlan::Place& place = plan_.places[index(where.tensor)];
    std::byte* const base = place.in_arena ? arena_.data() + place.offset : base_[index(where.tensor)];
    return base + where.instance % place.slots * place.stride;
}

}  // namespace wb::cuda
