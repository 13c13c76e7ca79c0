#pragma once

#include "models/fabric/programs/line.hpp"

namespace wb::fabric {

enum class RingOrder : std::uint8_t {
    natural,     ///< 0, 1, 2, ...; the closing message goes back over the whole line
    interleaved  ///< 0, 2, 4, ..., 5, 3, 1: all neighbours within two hops (He et al., OSDI 2025, algorithm 1)
};

/// A line of PEs closed into a ring, every PE sending to the next of it (or, backward, to the one before). Takes the
/// colours first .. first + 3; at most one message of each touches a router, so all PEs may send at once.
class ShiftRing {
public:
    static constexpr int colours = 4;

    ShiftRing(Line line, RingOrder order, bool forward, Colour first)
        : line_(line), order_(order), forward_(forward), first_(first) {}

    void route(Pe& pe) const;
    Colour out() const { return colour(line_.index); }
    Colour in() const { return colour(previous()); }
    /// Of this PE in the ring, counted forward.
    int position() const { return position_of(order_, line_.index, line_.count); }
    int count() const { return line_.count; }

    static int position_of(RingOrder order, int index, int count);
    static int index_at(RingOrder order, int position, int count);

private:
    int next(int index) const;
    int previous() const;
    Colour colour(int from) const;
    void route_message(Pe& pe, int from) const;

    Line line_;
    RingOrder order_;
    bool forward_;
    Colour first_;
};

/// Every PE's `tile` to the next one, `times` over, through `spare` of the same size; they are exchanged accordingly.
Process shift(Pe& pe, const ShiftRing& ring, Vec& tile, Vec& spare, int times);

}  // namespace wb::fabric
