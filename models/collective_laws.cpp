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

/// First wavelet of a message, and from how far away.
struct Message {
    std::int64_t sent, hops;
};

/// A PE adds up `children` messages of b wavelets, message(k) one after another or, where pair(k), side by side with
/// the next. A message waits in the router before the last sender's until that one's is through, and comes a cycle
/// later for the switch, unless the queues between the two (two wavelets each) have held it or the PE is behind and
/// has wavelets in its in-port.
template <class Get, class Pair>
Times add_all(const Mesh& m, int children, bool passing, std::int64_t b, const Get& message, const Pair& pair) {
    const std::int64_t start = m.vector_start_cycles, beside = start + m.microthread_start_cycles;
    const int stored = passing ? children - 1 : children;
    std::int64_t ready = 0, clear = 0, hops = 0;  // `clear`: the way is free for the next message
    const auto arrives = [&](int k) {
        const Message next = message(k);
        return std::max(clear, next.sent + way(m, next.hops));
    };
    for (int k = 0; k < stored; ++k) {
        const std::int64_t there = arrives(k), room = 2 * (message(k).hops - hops - 1), before = ready;
        const std::int64_t one = std::max(before + start, there);
        const bool paired = k + 1 < stored && pair(k);
        std::int64_t sent = there + b;
        ready = one + b;
        if (paired) {
            ++k;
            const std::int64_t last = message(k).sent + way(m, message(k).hops), two = std::max(before + beside, last);
            ready = std::max(std::min(one, two) + 2 * b, std::max(one, two) + b);
            sent = std::max(std::min(there, last) + 2 * b, std::max(there, last) + b);
        }
        const bool gap = paired ? b != 2 && !(k + 2 < stored && pair(k + 1)) : b > room;
        clear = std::max(sent, ready - m.ramp_cycles - 2) + (gap ? 1 : 0);
        hops = message(k).hops;
    }
    if (!passing) return {ready + start, ready};
    const std::int64_t begin = std::max(ready + start, arrives(children - 1));
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
        const auto message = [&](int k) {
            const int child = children[static_cast<std::size_t>(k)];
            return Message{times[static_cast<std::size_t>(child)].send, child - i};
        };
        const auto stored = tree.stored_children(i, forwarding);
        times[static_cast<std::size_t>(i)] =
            add_all(m, static_cast<int>(children.size()), stored.size() < children.size(), b, message,
                    [&](int k) { return tree.pair(stored, static_cast<std::size_t>(k)); });
    }
    return times[0].ready;
}

std::int64_t star_cycles(const Mesh& m, int count, std::int64_t b) {
    if (count == 1) return 0;
    const auto message = [&](int k) { return Message{leaf(m).send, k + 1}; };
    return add_all(m, count - 1, false, b, message, [](int) { return true; }).ready;
}

std::int64_t chain_cycles(const Mesh& m, int count, std::int64_t b) {
    return count == 1 ? 0 : m.vector_start_cycles + b + way(m, 1) * (count - 1);
}

std::int64_t tree_cycles(const Mesh& m, int count, std::int64_t b, Forwarding forwarding) {
    if (count == 1) return 0;
    const bool streamed = forwarding == Forwarding::streamed;
    std::vector<Times> full{leaf(m)};  // parts of 1, 2, 4, ... PEs, their sizes being too different for pairs
    const auto from = [&](int k) { return Message{full[static_cast<std::size_t>(k)].send, std::int64_t{1} << k}; };
    const auto never = [](int) { return false; };
    for (int k = 1; (std::int64_t{1} << k) < count; ++k) full.push_back(add_all(m, k, streamed, b, from, never));
    int k = std::countr_zero(static_cast<unsigned>(count));
    if (count >> k == 1) return add_all(m, k, false, b, from, never).ready;
    // The part at the far end is cut off; of each PE around it, it is the last child. PEs 1 and 2 of three are a pair.
    Times cut = full[static_cast<std::size_t>(k)];
    bool pair = k == 0;
    for (++k; count >> k > 0; ++k) {
        if ((count >> k & 1) == 0) continue;
        const auto message = [&](int j) { return j < k ? from(j) : Message{cut.send, std::int64_t{1} << k}; };
        cut =
            add_all(m, k + 1, streamed && count >> k > 1, b, message, [&](int j) { return pair && k == 1 && j == 0; });
        pair = false;
    }
    return cut.ready;
}

std::int64_t two_phase_cycles(const Mesh& m, int count, std::int64_t b, int group, Forwarding forwarding) {
    if (count == 1) return 0;
    const auto first = [&, groups = two_phase_groups(count, group)](std::int64_t g) { return g * count / groups; };
    // When the second PE of a group sends the sum of all but the first.
    const auto members = [&](std::int64_t size) { return leaf(m).send + (size - 2) * way(m, 1); };
    Times own = leaf(m);
    for (int g = two_phase_groups(count, group); g-- > 0;) {
        const std::int64_t size = first(g + 1) - first(g);
        const int children = (size > 1 ? 1 : 0) + (first(g + 1) < count ? 1 : 0);
        if (children == 0) continue;
        const auto message = [&](int k) {
            return k == 0 && size > 1 ? Message{members(size), 1} : Message{own.send, size};
        };
        const std::int64_t own_hops = first(g) - (g > 0 ? first(g - 1) : 0), last_hops = message(children - 1).hops;
        const bool passing = g > 0 && (forwarding == Forwarding::streamed || 2 * last_hops > own_hops);
        own = add_all(m, children, passing, b, message, [](int) { return false; });
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
