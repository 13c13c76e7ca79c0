#include "models/fabric/programs/two_hop_ring.hpp"

namespace wb::fabric {

int TwoHopRing::index_at(int place) const {
    const int p = (place % line_.count + line_.count) % line_.count;
    return 2 * p < line_.count ? 2 * p : 2 * (line_.count - 1 - p) + 1;
}

void TwoHopRing::route(Pe& pe) const {
    const int i = line_.index;
    if (line_.count == 1) return;
    const auto towards = [&](int index) { return index > i ? line_.next : line_.previous; };
    pe.route(out(), Port::ramp, towards(index_at(place() + 1)));
    pe.route(in(), towards(index_at(place() - 1)), Port::ramp);
    if (i == 0 || line_.last()) return;
    // What the neighbours send each other, over this router: even ones go on, odd ones come back.
    if (i % 2 == 1)
        pe.route(colour(i - 1), line_.previous, line_.next);
    else
        pe.route(colour(i + 1), line_.next, line_.previous);
}

}  // namespace wb::fabric
