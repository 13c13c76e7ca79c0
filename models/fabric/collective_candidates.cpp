#include <fmt/format.h>

#include <memory>
#include <optional>

#include "core/error.hpp"
#include "models/collective_laws.hpp"
#include "models/fabric/candidate.hpp"
#include "models/fabric/programs/collectives.hpp"

namespace wb::fabric {
namespace {

// Colours: reductions along rows, then along columns, then the broadcast; the ring's three are among the first.
constexpr Colours for_rows{0, 10}, for_columns{10, 10}, for_ring{0, 3};
constexpr Colour for_broadcast = 20;
constexpr int most_pes_to_generate = 64;  // a tree of more PEs takes seconds to find

enum class Way : std::uint8_t { trees, snake, ring, multicast };

/// What all PEs share. The ranks of a bare collective are the PEs of the rectangle along a snake: row 0 eastwards, row
/// 1 westwards, and so on.
struct Shared {
    CollectiveKind kind;
    Way way;
    std::int64_t count, ranks;
    Type type;
    std::optional<Allreduce2d> trees;
    std::optional<ReducePlan> snake;
    HostTensors* host;
};

/// Elements of the whole buffer a PE holds before and after.
struct Piece {
    std::int64_t first, count;
};

Piece own_part(const Shared& s, std::int64_t rank) {
    const std::int64_t each = s.count / s.ranks;
    return {rank * each, each};
}

void load(Pe& pe, const Vec& v, const Shared& s, std::int64_t rank) {
    if (!pe.data()) return;
    const bool gathers = s.kind == CollectiveKind::allgather;
    const bool silent = s.kind == CollectiveKind::broadcast && rank > 0;
    const Piece to = gathers ? own_part(s, rank) : Piece{0, silent ? 0 : s.count};
    for (std::int64_t i = 0; i < to.count; ++i)
        pe.set(v, static_cast<std::size_t>(to.first + i), s.host->of_rank(rank, i));
}

void store(Pe& pe, const Vec& v, const Shared& s, std::int64_t rank) {
    if (!pe.data()) return;
    const bool scatters = s.kind == CollectiveKind::reduce_scatter;
    const Piece from = scatters ? own_part(s, rank) : Piece{0, s.count};
    for (std::int64_t i = 0; i < from.count; ++i)
        s.host->output(rank)[static_cast<std::size_t>(i)] = pe.get(v, static_cast<std::size_t>(from.first + i));
}

void route(Pe& pe, const Shared& s) {
    if (s.way == Way::trees) return route_allreduce_2d(pe, *s.trees);
    if (s.way == Way::ring) return route_ring(pe, snake_line(pe), for_ring);
    if (s.way == Way::snake) route_reduce(pe, snake_line(pe), *s.snake);
    route_broadcast_2d(pe, for_broadcast);
}

Process communicate(Pe& pe, const Vec& v, const Shared& s) {
    const Line snake = snake_line(pe);
    if (s.way == Way::trees) {
        co_await allreduce_2d(pe, v, *s.trees);
    } else if (s.way == Way::ring) {
        if (s.kind == CollectiveKind::allreduce) co_await ring_allreduce(pe, snake, v, for_ring);
        if (s.kind == CollectiveKind::reduce_scatter) co_await ring_reduce_scatter(pe, snake, v, for_ring);
        if (s.kind == CollectiveKind::allgather) co_await ring_allgather(pe, snake, v, for_ring);
    } else {
        if (s.way == Way::snake) co_await reduce(pe, snake, v, *s.snake);
        co_await broadcast_2d(pe, v, for_broadcast);
    }
}

Process run(Pe& pe, const Shared& s) {
    const int rank = snake_line(pe).index;
    const Vec v = pe.alloc(s.type, static_cast<std::size_t>(s.count));
    route(pe, s);
    load(pe, v, s, rank);
    co_await communicate(pe, v, s);
    store(pe, v, s, rank);
}

Candidate candidate(const Placing& p, std::string algorithm, const Shared& shared, double cycles, double hops) {
    Candidate c;
    c.algorithm = std::move(algorithm);
    c.rows = p.rows;
    c.columns = p.columns;
    c.cycles = cycles;
    c.sram_bytes = static_cast<double>(shared.count * bytes(p.type));
    c.hops = hops;
    c.ranks = shared.ranks;
    c.job = [shared](HostTensors* host) -> Job {
        auto own = std::make_shared<Shared>(shared);
        own->host = host;
        if (host && own->kind == CollectiveKind::reduce_scatter) host->size_output(own->count / own->ranks);
        return {[own](Pe& pe) { return run(pe, *own); }, {}};
    };
    return c;
}

/// X then Y by trees of one kind, if the colours suffice.
void add_trees(Candidates& found, const Placing& p, Shared s, double wavelets, ReduceAlgorithm algorithm) {
    if (algorithm == ReduceAlgorithm::generated && std::max(p.rows, p.columns) > most_pes_to_generate) return;
    const auto b = static_cast<std::int64_t>(wavelets);
    const ReductionTree along_rows = reduction_tree(algorithm, p.mesh, p.columns, b),
                        along_columns = reduction_tree(algorithm, p.mesh, p.rows, b);
    try {
        s.way = Way::trees;
        s.trees =
            Allreduce2d{{ReducePlan(along_rows, for_rows), ReducePlan(along_columns, for_columns)}, for_broadcast};
    } catch (const Error&) {
        return;  // too many messages meet in a router
    }
    const double cycles =
        static_cast<double>(reduce_cycles(p.mesh, along_rows, b) + reduce_cycles(p.mesh, along_columns, b) +
                            broadcast_2d_cycles(p.mesh, p.rows, p.columns, b));
    const double energy =
        static_cast<double>(along_rows.energy()) * p.rows + static_cast<double>(along_columns.energy());
    found.all.push_back(candidate(p, std::string(name(algorithm)), s, cycles, wavelets * (energy + p.pes())));
}

void add_snake(Candidates& found, const Placing& p, Shared s, double wavelets) {
    const auto b = static_cast<std::int64_t>(wavelets);
    const int pes = p.rows * p.columns;
    s.way = Way::snake;
    s.snake = chain_plan(pes, for_rows);
    const double cycles =
        static_cast<double>(chain_cycles(p.mesh, pes, b) + broadcast_2d_cycles(p.mesh, p.rows, p.columns, b));
    found.all.push_back(candidate(p, "snake", s, cycles, 2 * wavelets * p.pes()));
}

void add_ring(Candidates& found, const Placing& p, Shared s, double wavelets, bool half) {
    const auto b = static_cast<std::int64_t>(wavelets);
    const int pes = p.rows * p.columns;
    s.way = Way::ring;
    const auto cycles = half ? ring_half_cycles(p.mesh, pes, b) : ring_allreduce_cycles(p.mesh, pes, b);
    found.all.push_back(candidate(p, "ring", s, static_cast<double>(cycles), (half ? 2 : 4) * wavelets * p.pes()));
}

std::string why_not(const Placing& p, CollectiveKind kind, std::int64_t count) {
    const std::int64_t ranks = static_cast<std::int64_t>(p.rows) * p.columns;
    if (kind == CollectiveKind::alltoall || kind == CollectiveKind::send_recv)
        return fmt::format("there is no program for {} among PEs", name(kind));
    if (kind != CollectiveKind::allgather && kind != CollectiveKind::reduce_scatter) return "";
    if (count % ranks != 0) return fmt::format("{} elements are no equal parts for {} PEs", count, ranks);
    if (count / ranks % per_wavelet(p.type) != 0)
        return fmt::format("parts of {} elements do not fill whole wavelets", count / ranks);
    return "";
}

}  // namespace

Candidates collective_candidates(const Placing& p) {
    const CollectiveKind kind = p.op.attributes.collective;
    const std::int64_t count = elements(p.in(0));
    Candidates found;
    found.refused = why_not(p, kind, count);
    if (!found.refused.empty()) return found;
    const Shared s{kind, Way::multicast, count, static_cast<std::int64_t>(p.rows) * p.columns, p.type, {}, {}, nullptr};
    const DType dtype = p.type == Type::f32 ? DType::f32 : DType::f16;
    const auto b = wavelets(count, dtype);
    const auto words = static_cast<double>(b);
    if (kind == CollectiveKind::broadcast) {
        const auto cycles = static_cast<double>(broadcast_2d_cycles(p.mesh, p.rows, p.columns, b));
        found.all.push_back(candidate(p, "multicast", s, cycles, words * p.pes()));
    } else if (kind == CollectiveKind::allreduce) {
        using enum ReduceAlgorithm;
        for (const ReduceAlgorithm a : {star, chain, tree, two_phase, generated}) add_trees(found, p, s, words, a);
        add_snake(found, p, s, words);
        if (p.pes() > 1) add_ring(found, p, s, words, false);
    } else {
        add_ring(found, p, s, words, true);
    }
    return found;
}

}  // namespace wb::fabric
