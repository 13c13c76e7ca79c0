#include "models/collective_laws.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "core/error.hpp"

namespace wb {
namespace {

/// From the cycle a PE emits a wavelet to the first cycle a PE so many links away may consume it.
std::int64_t way(const Mesh& m, std::int64_t hops) { return 2 * m.ramp_cycles + 1 + hops * m.hop_cycles; }

/// Times of a PE's part in a reduction.
struct Times {
    std::int64_t send;   ///< its first wavelet to its parent
    std::int64_t ready;  ///< all children are added
};

/// A PE's own part: what it sends was there from the start.
Times leaf(const Mesh& m) { return {m.vector_start_cycles, 0}; }

/// A PE adds up `children` messages of b wavelets, number k consumable from `arrives(k)` on, one after another or, where
/// pair(k), side by side with the next. A router that has switched lets the next message through a cycle later.
template <class Arrives, class Pair>
Times add_all(const Mesh& m, int children, bool passing, std::int64_t b, const Arrives& arrives, const Pair& pair) {
    const std::int64_t start = m.vector_start_cycles, beside = start + m.microthread_start_cycles;
    const int stored = passing ? children - 1 : children;
    const auto two = [&](int k) { return k + 1 < stored && pair(k); };
    std::int64_t ready = 0, wait = start;
    for (int k = 0; k < stored; ++k) {
        const std::int64_t one = std::max(ready + wait, arrives(k));
        const bool paired = two(k);
        if (paired) {
            const std::int64_t other = std::max(ready + beside, arrives(++k));
            ready = std::max(std::min(one, other) + 2 * b, std::max(one, other) + b);
        } else {
            ready = one + b;
        }
        wait = std::max<std::int64_t>(start, paired && (two(k + 1) || b == 1) ? 0 : 1);
    }
    if (!passing) return {ready + start, ready};
    const std::int64_t begin = std::max(ready + wait, arrives(children - 1));
    return {begin, begin + b};
}

}  // namespace

std::int64_t wavelets(std::int64_t elements, DType type) {
    const int each = elements_per_wavelet(type);
    return (elements + each - 1) / each;
}

std::int64_t message_cycles(const Mesh& m, std::int64_t hops, std::int64_t b) {
    return m.vector_start_cycles + b + way(m, hops);
}

std::int64_t broadcast_cycles(const Mesh& m, int count, std::int64_t b) {
    return count == 1 ? 0 : message_cycles(m, count - 1, b);
}

std::int64_t broadcast_2d_cycles(const Mesh& m, int rows, int columns, std::int64_t b) {
    return rows * columns == 1 ? 0 : message_cycles(m, rows + columns - 2, b);
}

std::int64_t reduce_cycles(const Mesh& m, const ReductionTree& tree, std::int64_t b, Forwarding forwarding) {
    std::vector<Times> times(static_cast<std::size_t>(tree.count()), leaf(m));
    for (int i = tree.count(); i-- > 0;) {
        const auto children = tree.children(i);
        if (children.empty()) continue;
        const auto arrives = [&](int k) {
            const int child = children[static_cast<std::size_t>(k)];
            return times[static_cast<std::size_t>(child)].send + way(m, child - i);
        };
        const auto stored = tree.stored_children(i, forwarding);
        times[static_cast<std::size_t>(i)] =
            add_all(m, static_cast<int>(children.size()), stored.size() < children.size(), b, arrives,
                    [&](int k) { return tree.pair(stored, static_cast<std::size_t>(k)); });
    }
    return times[0].ready;
}

std::int64_t star_cycles(const Mesh& m, int count, std::int64_t b) {
    if (count == 1) return 0;
    const auto arrives = [&](int k) { return leaf(m).send + way(m, k + 1); };
    return add_all(m, count - 1, false, b, arrives, [](int) { return true; }).ready;
}

std::int64_t chain_cycles(const Mesh& m, int count, std::int64_t b) {
    return count == 1 ? 0 : m.vector_start_cycles + b + way(m, 1) * (count - 1);
}

std::int64_t tree_cycles(const Mesh& m, int count, std::int64_t b, Forwarding forwarding) {
    if (count == 1) return 0;
    const bool streamed = forwarding == Forwarding::streamed;
    std::vector<Times> full{leaf(m)};  // parts of 1, 2, 4, ... PEs, their sizes being too different for pairs
    const auto from = [&](int k) { return full[static_cast<std::size_t>(k)].send + way(m, std::int64_t{1} << k); };
    const auto never = [](int) { return false; };
    for (int k = 1; (std::int64_t{1} << k) < count; ++k) full.push_back(add_all(m, k, streamed, b, from, never));
    int k = std::countr_zero(static_cast<unsigned>(count));
    if (count >> k == 1) return add_all(m, k, false, b, from, never).ready;
    // The part at the far end is cut off; of each PE around it, it is the last child. PEs 1 and 2 of three are a pair.
    Times cut = full[static_cast<std::size_t>(k)];
    bool pair = k == 0;
    for (++k; count >> k > 0; ++k) {
        if ((count >> k & 1) == 0) continue;
        const auto arrives = [&](int j) { return j < k ? from(j) : cut.send + way(m, std::int64_t{1} << k); };
        cut = add_all(m, k + 1, streamed && count >> k > 1, b, arrives, [&](int j) { return pair && k == 1 && j == 0; });
        pair = false;
    }
    return cut.ready;
}

std::int64_t two_phase_cycles(const Mesh& m, int count, std::int64_t b, int group) {
    if (count == 1) return 0;
    if (group == 0) group = two_phase_group(count);
    // When the sum of a group's other PEs arrives at its first one.
    const auto members = [&](std::int64_t size) { return m.vector_start_cycles + (size - 1) * way(m, 1); };
    const int groups = (count + group - 1) / group, rest = count - (groups - 1) * group;
    const auto never = [](int) { return false; };
    Times own = leaf(m);
    if (rest > 1) own = add_all(m, 1, groups > 1, b, [&](int) { return members(rest); }, never);
    for (int g = groups - 1; g-- > 0;) {
        const auto arrives = [&](int k) { return k == 0 && group > 1 ? members(group) : own.send + way(m, group); };
        const bool three_pes = group == 2 && rest == 1 && groups == 2;
        own = add_all(m, group > 1 ? 2 : 1, g > 0, b, arrives, [&](int) { return three_pes; });
    }
    return own.ready;
}

namespace {

/// `steps` steps of a ring, in each of which a PE sends a chunk while it receives one. The slowest path follows one
/// chunk around; it may go over the long link once every `count` steps.
std::int64_t ring_cycles(const Mesh& m, int count, std::int64_t b, int steps) {
    if (count == 1) return 0;
    const std::int64_t chunk = (b + count - 1) / count;
    const std::int64_t follow = way(m, 1), stay = std::max<std::int64_t>(follow, m.microthread_start_cycles);
    const std::int64_t loss = stay - follow, gain = way(m, count - 1) - stay;
    const std::int64_t twice = steps > count ? 2 * gain - (count - 1) * loss : 0;
    return steps * (m.vector_start_cycles + chunk + stay) + std::max({std::int64_t{0}, gain, twice});
}

}  // namespace

std::int64_t ring_allreduce_cycles(const Mesh& m, int count, std::int64_t b) {
    return ring_cycles(m, count, b, 2 * (count - 1));
}

std::int64_t ring_half_cycles(const Mesh& m, int count, std::int64_t b) { return ring_cycles(m, count, b, count - 1); }

double reduce_bound(const Mesh& m, int count, std::int64_t b) {
    if (count == 1) return 0;
    const double links = count - 1, load = static_cast<double>(b);
    double best = std::numeric_limits<double>::infinity();
    for (int depth = 1; depth < count; ++depth) {
        const double wait = (2 * m.ramp_cycles + 1) * depth;
        if (load + links + wait >= best) break;
        const double mean = load * static_cast<double>(least_energy(count, depth)) / links;
        best = std::min(best, std::max(load, mean + links) + wait);
    }
    return best;
}

std::int64_t farthest_bound(const Mesh& m, int rows, int columns, std::int64_t b) {
    return rows * columns == 1 ? 0 : message_cycles(m, rows + columns - 2, b);
}

}  // namespace wb
