#pragma once

#include "models/fabric/programs/line.hpp"

namespace wb::fabric {

/// Broadcasts along a line from one PE after another, index 0 first: the panels of SUMMA. Routes are static, so a
/// panel travels to index 0 first and is multicast from there: each PE's router passes its own panels, then those of
/// the PEs behind it. All PEs send at the start and the network holds back what is early. Two colours.
class Panels {
public:
    static constexpr int colours = 2;

    /// Every PE owns `each` panels of `pitch` elements, one behind the other in its tile.
    Panels(Line line, int each, std::size_t pitch, Colour first)
        : line_(line), each_(each), pitch_(pitch), to_edge_(first), from_edge_(static_cast<Colour>(first + 1)) {}

    void route(Pe& pe) const;
    /// This PE's panels on their way: once, before the first begin(); await it before the end.
    Handle send(Pe& pe, Vec tile) const;
    /// Panel `k` of the line into `buffer`; where() tells what to read once the Handle is done.
    Handle begin(Pe& pe, std::int64_t k, Vec tile, Vec buffer) const;
    Vec where(std::int64_t k, Vec tile, Vec buffer) const;

    /// All panels into `all`, in their order. Index 0 sends its own, has to await that, and then passes on the rest;
    /// to the others rest() is nothing.
    bool edge() const { return line_.first(); }
    Handle begin_all(Pe& pe, Vec tile, Vec all) const;
    Handle rest(Pe& pe, Vec all) const;

private:
    bool own(std::int64_t k) const { return line_.first() && k / each_ == 0; }
    Vec panel(std::int64_t k, Vec tile) const { return tile.sub(static_cast<std::size_t>(k % each_) * pitch_, pitch_); }

    Line line_;
    int each_;
    std::size_t pitch_;
    Colour to_edge_, from_edge_;
};

}  // namespace wb::fabric
