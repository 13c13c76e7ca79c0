#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace wb {

/// What a PE between leaf and root adds to its own part in passing, sending while it receives: always the last child's
/// message; or, in phases as published, only one that is more than half as long as its own, so that the steps of the
/// tree and the two phases follow one another.
enum class Forwarding : std::uint8_t { streamed, phased };

/// Who adds up what in a reduction of PEs 0 .. count - 1 of a line to PE 0 (Luczynski et al., HPDC 2024, "pre-order
/// reduction trees"): every PE receives from its children one after another, nearest first, and passes the last one's
/// wavelets on to its parent with its own part added. The PEs below a PE are the ones next to it, away from PE 0, so
/// messages nest and never cross.
class ReductionTree {
public:
    /// `parent[i]` < i, `parent[0]` = -1. Throws ContractError if the messages cross.
    explicit ReductionTree(std::vector<int> parent);

    int count() const { return static_cast<int>(parent_.size()); }
    int parent(int i) const { return parent_[static_cast<std::size_t>(i)]; }
    /// Nearest first, which is the order of receiving.
    std::span<const int> children(int i) const;

    bool leaf(int i) const { return children(i).empty(); }
    /// Children that PE i has added to its own part before it sends: all, or all but the last, added in passing.
    std::span<const int> stored_children(int i, Forwarding forwarding) const;
    /// Of those, number k and the next are received side by side, two messages sharing the links' cycles. Only leaves:
    /// a message that comes early would hold up what a nearer child receives.
    bool pair(std::span<const int> stored, std::size_t k) const {
        return k + 1 < stored.size() && leaf(stored[k]) && leaf(stored[k + 1]);
    }

    int depth() const;            ///< most messages that wait for one another, D
    std::int64_t energy() const;  ///< hops of all messages together, E for one element each
    int most_children() const;    ///< contention C for one element each

private:
    std::vector<int> parent_, children_, first_;
};

/// Every PE sends to PE 0, which adds up one after another. Depth 1.
ReductionTree star_tree(int count);
/// Every PE adds its part to what comes from its neighbour. Depth count - 1, every link used once.
ReductionTree chain_tree(int count);
/// In step k the PEs at odd multiples of 2^k send to those 2^k nearer. Depth log2 count, rounded up.
ReductionTree binary_tree(int count);
/// Chains within groups of at most `group` PEs, as equal as can be, then a chain over their first PEs; group g begins
/// at PE g count / groups. 0: the square root of `count`, rounded up.
ReductionTree two_phase_tree(int count, int group = 0);
/// How many groups.
int two_phase_groups(int count, int group = 0);
/// The least energy for depth <= `depth`: e[n, d] = min over s of e[s, d - 1] + e[n - s, d] + (n - s).
ReductionTree least_energy_tree(int count, int depth);
/// e[count, depth] itself, without the tree, in time proportional to the longest message.
std::int64_t least_energy(int count, int depth);

}  // namespace wb
