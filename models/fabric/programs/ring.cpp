#include <algorithm>

#include "core/error.hpp"
#include "models/fabric/programs/collectives.hpp"

namespace wb::fabric {
namespace {

/// Neighbours alternate between two colours, as a PE cannot receive and send on one; the third leads back.
struct Ring {
    Line line;
    Colour in, out;

    Ring(Line l, Colours three) : line(l), in(three.first), out(three.first) {
        WB_EXPECT(three.count >= 3);
        const auto odd = static_cast<Colour>(three.first + 1), back = static_cast<Colour>(three.first + 2);
        (l.index % 2 == 0 ? in : out) = odd;
        if (l.first()) in = back;
        if (l.last()) out = back;
    }
    /// Index of the chunk that starts `steps` PEs before this one's own.
    int before(int steps) const { return ((line.index - steps) % line.count + line.count) % line.count; }
};

}  // namespace

Vec ring_chunk(Vec values, int count, int i) {
    const std::uint64_t all = values.wavelets(), each = per_wavelet(values.type);
    const auto n = static_cast<std::uint64_t>(count);
    const auto edge = [&](int k) {
        const std::uint64_t wavelets = (all * static_cast<std::uint64_t>(k) + n / 2) / n;
        return std::min<std::uint64_t>(wavelets * each, values.count);
    };
    return values.sub(edge(i), edge(i + 1) - edge(i));
}

void route_ring(Pe& pe, Line line, Colours three) {
    if (line.count == 1) return;
    const Ring ring(line, three);
    const auto back = static_cast<Colour>(three.first + 2);
    pe.route(ring.out, Port::ramp, line.last() ? line.previous : line.next);
    pe.route(ring.in, line.first() ? line.next : line.previous, Port::ramp);
    if (!line.first() && !line.last()) pe.route(back, line.next, line.previous);
}

// In each step a PE sends the chunk it received in the step before, so that chunk i, starting at the PE after i,
// arrives at PE i with all parts added.
Process ring_reduce_scatter(Pe& pe, Line line, Vec values, Colours three, Combine combine) {
    const Ring ring(line, three);
    for (int step = 1; step < line.count; ++step) {
        const Vec in = ring_chunk(values, line.count, ring.before(step + 1));
        const Vec out = ring_chunk(values, line.count, ring.before(step));
        const Handle received = pe.start(combine == Combine::add ? pe.recv_add(ring.in, in) : pe.recv_max(ring.in, in));
        co_await pe.send(ring.out, out);
        co_await received;
    }
}

Process ring_allgather(Pe& pe, Line line, Vec values, Colours three) {
    const Ring ring(line, three);
    for (int step = 1; step < line.count; ++step) {
        const Handle received = pe.start(pe.recv(ring.in, ring_chunk(values, line.count, ring.before(step))));
        co_await pe.send(ring.out, ring_chunk(values, line.count, ring.before(step - 1)));
        co_await received;
    }
}

Process ring_allreduce(Pe& pe, Line line, Vec values, Colours three, Combine combine) {
    co_await ring_reduce_scatter(pe, line, values, three, combine);
    co_await ring_allgather(pe, line, values, three);
}

}  // namespace wb::fabric
