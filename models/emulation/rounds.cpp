#include "models/emulation/rounds.hpp"

#include <algorithm>
#include <bit>

#include "core/error.hpp"
#include "core/suggest.hpp"

namespace wb::emulation {
namespace {

constexpr std::string_view names[] = {
    "ring", "recursive-doubling", "halving-doubling", "dissemination", "tree", "chain", "pairwise", "direct"};
constexpr std::size_t to_be_named = static_cast<std::size_t>(Algorithm::direct);

int log2_ceiling(int n) { return std::bit_width(static_cast<unsigned>(n - 1)); }
int modulo(int i, int n) { return i < 0 ? i + n : i >= n ? i - n : i; }

Round ring_scatter(int n, int p, int k) {
    return {modulo(p + 1, n), modulo(p - 1, n), {modulo(p - k - 1, n), 1}, {modulo(p - k - 2, n), 1}, true};
}
Round ring_gather(int n, int p, int k) {
    return {modulo(p + 1, n), modulo(p - 1, n), {modulo(p - k, n), 1}, {modulo(p - k - 1, n), 1}, false};
}

/// Bruck et al. 1997, allgather: before round k the unit holds blocks p to p + 2^k - 1.
Round doubling_gather(int n, int p, int k) {
    const int d = 1 << k, count = std::min(d, n - d);
    const int from = modulo(p + d, n);
    return {modulo(p - d, n), from, {p, count}, {from, count}, false};
}
/// The same backwards: what was gathered is given back, and added.
Round halving_scatter(int n, int p, int k) {
    const int d = 1 << (log2_ceiling(n) - 1 - k), count = std::min(d, n - d);
    const int to = modulo(p + d, n);
    return {to, modulo(p - d, n), {to, count}, {p, count}, true};
}

/// Thakur et al. 2005: units beyond a power of two hand theirs to a neighbour first and are told the sum at last.
Round recursive_doubling(int n, int p, int k) {
    const int whole = static_cast<int>(std::bit_floor(static_cast<unsigned>(n))), extra = n - whole;
    const Blocks all{0, 1};
    const bool folded = p < 2 * extra;
    if (extra > 0 && k == 0) {
        if (!folded) return {};
        return p % 2 == 1 ? Round{p - 1, -1, all, {}, true} : Round{-1, p + 1, {}, all, true};
    }
    const int step = k - (extra > 0 ? 1 : 0);
    if (step == log2_ceiling(whole)) {
        if (!folded) return {};
        return p % 2 == 0 ? Round{p + 1, -1, all, {}, false} : Round{-1, p - 1, {}, all, false};
    }
    if (folded && p % 2 == 1) return {};
    const int rank = folded ? p / 2 : p - extra, other = rank ^ (1 << step);
    const int partner = other < extra ? 2 * other : other + extra;
    return {partner, partner, all, all, true};
}

Round tree_broadcast(int n, int p, int k) {
    const int d = 1 << k;
    if (p < d) return p + d < n ? Round{p + d, -1, {0, 1}, {}, false} : Round{};
    return p < 2 * d ? Round{-1, p - d, {}, {0, 1}, false} : Round{};
}
Round tree_reduce(int n, int p, int k) {
    Round r = tree_broadcast(n, p, log2_ceiling(n) - 1 - k);
    std::swap(r.to, r.from);
    std::swap(r.send, r.receive);
    r.add = true;
    return r;
}

Round chain(const Collective& c, int p, int k) {
    Round r;
    // The root has every chunk at once; the others send on in a round what the round before brought.
    const int sent = p == 0 ? k : k - 1;
    if (p + 1 < c.units && sent >= 0 && sent < c.blocks) r.to = p + 1, r.send = {sent, 1};
    if (p > 0 && k < c.blocks) r.from = p - 1, r.receive = {k, 1};
    return r;
}

/// The partner `k` away, counted by domains first: a round either stays in all domains or leaves all, and no two units
/// send to the same.
int away(const Collective& c, int p, int k) {
    const int domains = c.units / c.inner, a = k / c.inner, b = k % c.inner;
    return modulo(p / c.inner + a, domains) * c.inner + modulo(p % c.inner + b, c.inner);
}

int rounds_of(CollectiveKind operation, Algorithm algorithm, int n, int chunks) {
    const int passes = operation == CollectiveKind::allreduce ? 2 : 1;
    if (n <= 1) return 0;
    if (operation == CollectiveKind::send_recv) return 1;
    switch (algorithm) {
        case Algorithm::ring: return passes * (n - 1);
        case Algorithm::recursive_doubling:
            return log2_ceiling(static_cast<int>(std::bit_floor(static_cast<unsigned>(n)))) +
                   (std::has_single_bit(static_cast<unsigned>(n)) ? 0 : 2);
        case Algorithm::halving_doubling:
        case Algorithm::tree: return passes * log2_ceiling(n);
        case Algorithm::dissemination: return log2_ceiling(n);
        case Algorithm::chain: return chunks + 1;
        case Algorithm::pairwise:
        case Algorithm::direct: return n - 1 + chunks - 1;
    }
    throw ContractError("unknown algorithm");
}

}  // namespace

std::string_view name(Algorithm algorithm) { return names[static_cast<std::size_t>(algorithm)]; }

std::vector<std::string> algorithm_names() { return {std::begin(names), std::begin(names) + to_be_named}; }

Algorithm algorithm_from_name(const std::string& text) {
    for (std::size_t i = 0; i < to_be_named; ++i)
        if (names[i] == text) return static_cast<Algorithm>(i);
    throw Error({"algorithm", "\"" + text + "\" is no way to play a collective", "its messages are not known",
                 did_you_mean(text, algorithm_names())});
}

bool plays(CollectiveKind operation, Algorithm a) {
    switch (operation) {
        case CollectiveKind::allreduce:
            return a != Algorithm::chain && a != Algorithm::pairwise && a != Algorithm::direct;
        case CollectiveKind::allgather:
        case CollectiveKind::reduce_scatter:
            return a == Algorithm::ring || a == Algorithm::halving_doubling || a == Algorithm::direct;
        case CollectiveKind::alltoall: return a == Algorithm::pairwise;
        case CollectiveKind::broadcast: return a == Algorithm::tree || a == Algorithm::chain;
        case CollectiveKind::send_recv: return a == Algorithm::ring;
        case CollectiveKind::none: return false;
    }
    return false;
}

Collective collective_of(CollectiveKind operation, Algorithm algorithm, int units, int chunks) {
    WB_EXPECT(units >= 1 && chunks >= 1 && plays(operation, algorithm));
    if (algorithm == Algorithm::pairwise) chunks = std::min(chunks, std::max(1, units - 1));
    if (algorithm == Algorithm::direct) chunks = std::max(1, units - 1);
    Collective c{operation, algorithm, units, units, rounds_of(operation, algorithm, units, chunks), 1, 0};
    if (algorithm == Algorithm::pairwise || algorithm == Algorithm::direct) c.ahead = chunks - 1;
    if (algorithm == Algorithm::chain) c.blocks = chunks;
    const bool whole = algorithm == Algorithm::recursive_doubling || algorithm == Algorithm::dissemination ||
                       algorithm == Algorithm::tree || operation == CollectiveKind::send_recv;
    if (whole) c.blocks = 1;
    return c;
}

Round round_of(const Collective& c, int p, int k) {
    const int n = c.units, half = c.rounds / 2;
    const bool both = c.operation == CollectiveKind::allreduce;
    const bool scatters = both ? k < half : c.operation == CollectiveKind::reduce_scatter;
    const int step = both && !scatters ? k - half : k;
    if (c.operation == CollectiveKind::send_recv) return {modulo(p + 1, n), modulo(p - 1, n), {0, 1}, {0, 1}, false};
    switch (c.algorithm) {
        case Algorithm::ring: return scatters ? ring_scatter(n, p, step) : ring_gather(n, p, step);
        case Algorithm::halving_doubling: return scatters ? halving_scatter(n, p, step) : doubling_gather(n, p, step);
        case Algorithm::recursive_doubling: return recursive_doubling(n, p, k);
        case Algorithm::dissemination: return {modulo(p + (1 << k), n), modulo(p - (1 << k), n), {0, 1}, {0, 1}, true};
        case Algorithm::tree: return scatters ? tree_reduce(n, p, step) : tree_broadcast(n, p, step);
        case Algorithm::chain: return chain(c, p, k);
        case Algorithm::direct: {
            Round r;
            r.add = scatters;
            if (k < n - 1) r.to = modulo(p + k + 1, n), r.send = {scatters ? r.to : p, 1};
            if (k >= c.ahead) r.from = modulo(p - (k - c.ahead) - 1, n), r.receive = {scatters ? p : r.from, 1};
            return r;
        }
        case Algorithm::pairwise: {
            Round r;
            if (k < n - 1) r.to = away(c, p, k + 1), r.send = {r.to, 1};
            if (k >= c.ahead) r.from = away(c, p, -(k - c.ahead) - 1), r.receive = {r.from, 1};
            return r;
        }
    }
    throw ContractError("unknown algorithm");
}

}  // namespace wb::emulation
