#pragma once

#include "models/fabric/programs/line.hpp"

namespace wb::fabric {

/// A ring over a line of PEs whose neighbours are at most two hops apart: up the even indices and down the odd ones, as
/// MeshGEMM interleaves (He et al., OSDI 2025, algorithm 1). Each PE sends to one other and receives from one other.
class TwoHopRing {
public:
    static constexpr int colours = 4;

    /// Colours first .. first + 3.
    TwoHopRing(Line line, Colour first) : line_(line), first_(first) {}

    void route(Pe& pe) const;
    /// Not on a line of one.
    Colour out() const { return colour(line_.index); }
    Colour in() const { return colour(index_at(place() - 1)); }
    /// Whose block lies here after `step` shifts, if each PE begins with its own: its index.
    int origin(int step) const { return index_at(place() - step); }

private:
    int place() const { return place_of(line_.index); }
    int place_of(int index) const { return index % 2 == 0 ? index / 2 : line_.count - 1 - index / 2; }
    int index_at(int place) const;
    /// Of what an index sends: the even ones share two colours in turns, and so do the odd ones.
    Colour colour(int index) const { return static_cast<Colour>(first_ + index % 2 * 2 + index / 2 % 2); }

    Line line_;
    Colour first_;
};

}  // namespace wb::fabric
