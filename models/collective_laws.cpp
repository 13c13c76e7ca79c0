#include "models/collective_laws.hpp"

#include <algorithm>
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

/// A PE that is `ready` with the children before receives one more, sent at `sent` from `hops` away.
Times receive(const Mesh& m, std::int64_t ready, std::int64_t sent, std::int64_t hops, std::int64_t wavelets,
              Forwarding forwarding) {
    const std::int64_t begin = std::max(ready + m.vector_start_cycles, sent + way(m, hops));
    const std::int64_t end = begin + wavelets;
    return {forwarding == Forwarding::streamed ? begin : end + m.vector_start_cycles, end};
}

Times leaf(const Mesh& m) { return {m.vector_start_cycles, 0}; }

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
        Times& own = times[static_cast<std::size_t>(i)];
        for (int child : tree.children(i))
            own = receive(m, own.ready, times[static_cast<std::size_t>(child)].send, child - i, b, forwarding);
    }
    return times[0].ready;
}

std::int64_t star_cycles(const Mesh& m, int count, std::int64_t b) {
    if (count == 1) return 0;
    return m.vector_start_cycles + way(m, 1) + (count - 1) * b + (count - 2) * m.vector_start_cycles;
}

std::int64_t chain_cycles(const Mesh& m, int count, std::int64_t b) {
    return count == 1 ? 0 : m.vector_start_cycles + b + way(m, 1) * (count - 1);
}

std::int64_t tree_cycles(const Mesh& m, int count, std::int64_t b, Forwarding forwarding) {
    // Full parts of 1, 2, 4, ... PEs, and the one at the far end that may be cut off.
    std::vector<Times> full{leaf(m)};
    for (std::int64_t size = 1; 2 * size <= count; size *= 2)
        full.push_back(receive(m, full.back().ready, full.back().send, size, b, forwarding));
    std::size_t k = 0;
    while ((count >> k & 1) == 0) ++k;
    Times cut = full[k];
    for (++k; k < full.size(); ++k)
        if ((count >> k & 1) != 0)
            cut = receive(m, full[k].ready, cut.send, std::int64_t{1} << k, b, forwarding);
    return cut.ready;
}

std::int64_t two_phase_cycles(const Mesh& m, int count, std::int64_t b, int group) {
    if (group == 0) group = two_phase_group(count);
    const Forwarding streamed = Forwarding::streamed;
    const auto members = [&](std::int64_t size) {
        if (size == 1) return leaf(m);
        return receive(m, 0, m.vector_start_cycles + (size - 2) * way(m, 1), 1, b, streamed);
    };
    const int groups = (count + group - 1) / group;
    Times own = members(count - (groups - 1) * group);
    const Times inner = members(group);
    for (int g = groups - 1; g-- > 0;) own = receive(m, inner.ready, own.send, group, b, streamed);
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
