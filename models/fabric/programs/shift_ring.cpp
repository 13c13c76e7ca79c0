#include "models/fabric/programs/shift_ring.hpp"

#include <algorithm>
#include <utility>

namespace wb::fabric {

int ShiftRing::position_of(RingOrder order, int index, int count) {
    if (order == RingOrder::natural) return index;
    return index % 2 == 0 ? index / 2 : count - 1 - index / 2;
}

int ShiftRing::index_at(RingOrder order, int position, int count) {
    if (order == RingOrder::natural) return position;
    return position < (count + 1) / 2 ? 2 * position : 2 * (count - 1 - position) + 1;
}

int ShiftRing::next(int index) const {
    const int step = forward_ ? 1 : line_.count - 1;
    return index_at(order_, (position_of(order_, index, line_.count) + step) % line_.count, line_.count);
}

int ShiftRing::previous() const {
    const int step = forward_ ? line_.count - 1 : 1;
    return index_at(order_, (position() + step) % line_.count, line_.count);
}

/// Neighbours in the ring alternate between two colours in each direction along the line.
Colour ShiftRing::colour(int from) const {
    const int to = next(from), count = line_.count;
    int pick = 0;
    if (order_ == RingOrder::natural) {
        const bool closing = forward_ ? from == count - 1 : from == 0;
        pick = closing ? 2 : from % 2;
    } else {
        pick = (to > from ? 0 : 2) + (forward_ ? from / 2 : (from + 1) / 2) % 2;
    }
    return static_cast<Colour>(first_ + pick);
}

void ShiftRing::route_message(Pe& pe, int from) const {
    const int to = next(from), here = line_.index;
    if (here < std::min(from, to) || here > std::max(from, to)) return;
    const Port ahead = to > from ? line_.next : line_.previous, behind = to > from ? line_.previous : line_.next;
    pe.route(colour(from), here == from ? Port::ramp : behind, here == to ? Port::ramp : ahead);
}

void ShiftRing::route(Pe& pe) const {
    const int here = line_.index, count = line_.count;
    if (count == 1) return;
    const int closing = forward_ ? count - 1 : 0;
    for (int from = std::max(0, here - 2); from <= std::min(count - 1, here + 2); ++from)
        if (order_ == RingOrder::interleaved || from != closing) route_message(pe, from);
    if (order_ == RingOrder::natural) route_message(pe, closing);
}

Process shift(Pe& pe, const ShiftRing& ring, Vec& tile, Vec& spare, int times) {
    for (int i = 0; i < times; ++i) {
        co_await pe.task();
        const Handle sent = pe.start(pe.send(ring.out(), tile));
        const Handle received = pe.start(pe.recv(ring.in(), spare));
        co_await sent;
        co_await received;
        std::swap(tile, spare);
    }
}

}  // namespace wb::fabric
