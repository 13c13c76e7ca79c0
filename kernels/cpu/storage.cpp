#include "kernels/cpu/storage.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "core/element.hpp"
#include "core/error.hpp"
#include "core/fill.hpp"
#include "core/huge_pages.hpp"
#include "kernels/cpu/bf16.hpp"

namespace wb::cpu {
namespace {

constexpr std::int64_t line = 64, huge_page = std::int64_t{2} << 20;

void store(double value, DType type, std::byte* to, std::int64_t i) {
    switch (type) {
        case DType::f32: reinterpret_cast<float*>(to)[i] = static_cast<float>(value); break;
        case DType::bf16:
            reinterpret_cast<bf16*>(to)[i] = to_bf16(static_cast<float>(value));
            break;  // fills are exact in f32
        default: encode(value, type, to + i * stored_bytes(type));
    }
}

void fill(const FillStream& stream, const GlobalIndex& at, std::int64_t count, DType type, std::byte* to, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::int64_t i = 0; i < count; ++i) store(stream(at(i)), type, to, i);
}

struct Origin {
    std::uint64_t seed;
    int rank, threads;
};

/// All instances of a tensor from its fill.
void fill_slots(const Tensor& t, const Partition::Piece& piece, const Shape& whole, std::int64_t slots,
                std::int64_t stride, const Buffer& to, const Origin& from) {
    if (t.fill.kind == Fill::Kind::none) return to.fill(0, from.threads);
    const GlobalIndex at = global_index(t.shape, piece, whole);
    const bool own = piece.layout.kind == Layout::Kind::own;  // a buffer for each rank: the rank is the instance
    for (std::int64_t k = 0; k < slots; ++k)
        fill(FillStream(t.fill, from.seed, t.name, own ? from.rank : k), at, elements(t.shape), t.dtype,
             to.data() + k * stride, from.threads);
}

}  // namespace

std::byte* Pool::at(const Tensor& local, const Partition::Piece& piece, const Graph& whole,
                    const MemoryPlan::Place& place) {
    const std::string key =
        fmt::format("{} [{}] {} x{}", local.name, fmt::join(local.shape, ","), name(local.dtype), place.slots);
    const Shape& all = whole.tensor(piece.whole).shape;
    const bool other_cut = std::any_of(entries_.begin(), entries_.end(), [&](const auto& x) {
        const Entry& e = x.second;
        return e.tensor.name == local.name && e.slots == place.slots && e.whole == all &&
               (e.tensor.shape != local.shape || !(e.piece.layout == piece.layout) || e.piece.first != piece.first ||
                e.piece.first_row != piece.first_row);
    });
    if (other_cut)
        throw Error({local.name, "is cut differently by two phases", "they could not share it",
                     "Use one rank, or data parallelism."});
    Entry& e = entries_[key];
    if (!e.memory.data()) e = {local, piece, all, place.slots, place.stride, Buffer(place.slots * place.stride)};
    return e.memory.data();
}

void Pool::fill(std::uint64_t seed, int rank, int threads) const {
    for (const auto& [key, e] : entries_)
        fill_slots(e.tensor, e.piece, e.whole, e.slots, e.stride, e.memory, {seed, rank, threads});
}

std::vector<StoredPiece> Pool::pieces() const {
    std::vector<StoredPiece> out;
    for (const auto& [key, e] : entries_)
        out.push_back({e.tensor.name, e.tensor.dtype, e.slots, e.whole, e.tensor.shape, e.piece.layout.dim,
                       e.piece.first, e.memory.data(), e.stride});
    return out;
}

Bytes Pool::bytes(Role role) const {
    Bytes sum;
    for (const auto& [key, e] : entries_)
        if (e.tensor.role == role) sum += Bytes(static_cast<double>(e.slots * e.stride));
    return sum;
}

Buffer::Buffer(std::int64_t bytes) : bytes_(bytes) {
    const std::int64_t alignment = bytes >= huge_page ? huge_page : line;
    const auto rounded =
        static_cast<std::size_t>(std::max<std::int64_t>(1, (bytes + alignment - 1) / alignment) * alignment);
    void* p = std::aligned_alloc(static_cast<std::size_t>(alignment), rounded);
    if (!p) throw std::bad_alloc();
    data_.reset(static_cast<std::byte*>(p));
    if (alignment == huge_page)  // advice: refusal costs speed only
        madvise(p, rounded, huge_pages_wanted() ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

void Buffer::Free::operator()(std::byte* p) const { std::free(p); }

void Buffer::fill(unsigned char value, int threads) const {
    std::byte* const to = data_.get();
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::int64_t page = 0; page < bytes_; page += 4096)
        std::memset(to + page, value, static_cast<std::size_t>(std::min<std::int64_t>(4096, bytes_ - page)));
}

Storage::Storage(const Graph& graph, const std::vector<Partition::Piece>& pieces, const Graph& whole, MemoryPlan plan,
                 std::uint64_t seed, int rank, int threads, Pool* pool)
    : graph_(graph),
      plan_(std::move(plan)),
      arena_(plan_.arena_bytes),
      own_(graph.tensors().size()),
      base_(graph.tensors().size()),
      threads_(threads) {
    arena_.fill(0, threads);
    for (std::size_t i = 0; i < own_.size(); ++i) {
        const MemoryPlan::Place& place = plan_.places[i];
        if (!place.stored || place.in_arena) continue;
        const Tensor& t = graph.tensors()[i];
        if (pool && (t.role == Role::weight || t.role == Role::state)) {
            base_[i] = pool->at(t, pieces[i], whole, place);
            continue;
        }
        own_[i] = Buffer(place.slots * place.stride);
        base_[i] = own_[i].data();
        const Shape& all =
            index(pieces[i].whole) < whole.tensors().size() ? whole.tensor(pieces[i].whole).shape : t.shape;
        fill_slots(t, pieces[i], all, place.slots, place.stride, own_[i], {seed, rank, threads});
    }
}

std::byte* Storage::at(TensorId id, std::int64_t iteration) const {
    const Location where = locate(graph_, id, iteration);
    const MemoryPlan::Place& place = plan_.places[index(where.tensor)];
    std::byte* const base = place.in_arena ? arena_.data() + place.offset : base_[index(where.tensor)];
    return base + where.instance % place.slots * place.stride;
}

void Storage::poison() const { arena_.fill(0xFF, threads_); }

}  // namespace wb::cpu
