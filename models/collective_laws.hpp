#pragma once

#include <cstdint>
#include <string_view>

#include "core/dtype.hpp"
#include "models/mesh.hpp"
#include "models/reduction_tree.hpp"

namespace wb {

/// Cycles of collectives on a line of `count` PEs or a mesh of rows x columns, each PE holding `wavelets` 32-bit
/// wavelets of data, from the first instruction to the last PE's end. Written for the programs of models/fabric, start
/// costs included; without start costs they are the laws of Luczynski et al., HPDC 2024, who found them within 4 % of a
/// real wafer. One PE alone takes no time.

/// Wavelets that carry so many elements; the tail is padded.
std::int64_t wavelets(std::int64_t elements, DType type);

/// One message over `hops` links: wavelets + hops + 2 T_R + 1.
std::int64_t message_cycles(const Mesh& mesh, std::int64_t hops, std::int64_t wavelets);
/// One multicast from the first PE: B + P + 2 T_R.
std::int64_t broadcast_cycles(const Mesh& mesh, int count, std::int64_t wavelets);
/// One multicast from a corner: B + M + N - 2 + 2 T_R + 1.
std::int64_t broadcast_2d_cycles(const Mesh& mesh, int rows, int columns, std::int64_t wavelets);

/// Any tree: of each PE, children are consumed one after another, each message without a gap.
std::int64_t reduce_cycles(const Mesh& mesh, const ReductionTree& tree, std::int64_t wavelets,
                           Forwarding forwarding = Forwarding::streamed);
/// B (P - 1) + 2 T_R + 2, and one start a message.
std::int64_t star_cycles(const Mesh& mesh, int count, std::int64_t wavelets);
/// B + (2 T_R + 2)(P - 1). The starts of all PEs but the last pass while they wait.
std::int64_t chain_cycles(const Mesh& mesh, int count, std::int64_t wavelets);
/// Phased, as published: B log2 P + P - 1 + (2 T_R + 1) log2 P for powers of two.
std::int64_t tree_cycles(const Mesh& mesh, int count, std::int64_t wavelets,
                         Forwarding forwarding = Forwarding::streamed);
/// Phased, as published: 2 B + P - 1 + (2 T_R + 1)(2 S - 2) with groups of S = sqrt P. `group` as in two_phase_tree().
std::int64_t two_phase_cycles(const Mesh& mesh, int count, std::int64_t wavelets, int group = 0,
                              Forwarding forwarding = Forwarding::streamed);

/// Ring over a line, the last PE's message going back over all: 2 (P - 1) B / P + 4 P - 6 + 2 (P - 1)(2 T_R + 1), with
/// the largest chunk for B / P.
std::int64_t ring_allreduce_cycles(const Mesh& mesh, int count, std::int64_t wavelets);
/// Either half of it: reduce-scatter or allgather.
std::int64_t ring_half_cycles(const Mesh& mesh, int count, std::int64_t wavelets);

/// "Auto-Gen" of the paper: of the trees with least energy for their depth the one with least reduce_cycles(). The
/// paper chooses the depth by B e[P, D] / (P - 1) + P - 1 + (2 T_R + 1) D, which knows neither contention nor starts.
ReductionTree generated_tree(const Mesh& mesh, int count, std::int64_t wavelets);
/// The least reduce_cycles() of all streamed trees: the last child's part s of n PEs is chosen so that
/// F[n] = min over s of max(F[1 .. n - s] + B + start, F[s] + n - s + 2 T_R + 1), F[n] being when the PE sends. O(P^2).
ReductionTree fastest_tree(const Mesh& mesh, int count, std::int64_t wavelets);

enum class ReduceAlgorithm : std::uint8_t { star, chain, tree, two_phase, generated, fastest };
std::string_view name(ReduceAlgorithm algorithm);
ReductionTree reduction_tree(ReduceAlgorithm algorithm, const Mesh& mesh, int count, std::int64_t wavelets);
std::int64_t reduce_cycles(ReduceAlgorithm algorithm, const Mesh& mesh, int count, std::int64_t wavelets);

struct ReduceChoice {
    ReduceAlgorithm algorithm;
    std::int64_t cycles;
};
/// Of the algorithms above except `generated` and `fastest`, whose trees take long to find: microseconds.
ReduceChoice best_simple_reduce(const Mesh& mesh, int count, std::int64_t wavelets);
/// Of all of them. Remembers what it was asked, for any thread.
ReduceChoice best_reduce(const Mesh& mesh, int count, std::int64_t wavelets);

struct AllreduceChoice {
    bool ring;               ///< else reduce and broadcast
    ReduceAlgorithm reduce;  ///< if not ring
    std::int64_t cycles;
};
AllreduceChoice best_allreduce(const Mesh& mesh, int count, std::int64_t wavelets);

/// X then Y, or one chain over all PEs row by row to and fro.
struct Reduce2dChoice {
    bool snake;
    ReduceAlgorithm rows, columns;  ///< along them, if not snake
    std::int64_t cycles;
};
Reduce2dChoice best_reduce_2d(const Mesh& mesh, int rows, int columns, std::int64_t wavelets);
/// best_reduce_2d() to a corner, and the broadcast from there.
std::int64_t best_allreduce_2d_cycles(const Mesh& mesh, int rows, int columns, std::int64_t wavelets);

/// The paper's bound for a reduction: min over D of max(B, B e[P, D] / (P - 1) + P - 1) + (2 T_R + 1) D. It charges the
/// longest way in full on top of the mean load, so with few wavelets a schedule can be a few cycles faster.
double reduce_bound(const Mesh& mesh, int count, std::int64_t wavelets);
/// Nothing is faster: the farthest PE's data must go all the way and the last wavelet be consumed.
std::int64_t farthest_bound(const Mesh& mesh, int rows, int columns, std::int64_t wavelets);

}  // namespace wb
