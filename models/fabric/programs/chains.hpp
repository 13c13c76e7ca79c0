#pragma once

#include <vector>

#include "models/fabric/programs/line.hpp"

namespace wb::fabric {

/// Awaits all that were begun.
Process finish(std::vector<Handle>& begun);

/// A line of PEs that pass messages from neighbour to neighbour both ways, so that any of them may be the root of a
/// reduction or a broadcast. Seven colours. Messages along a line follow one another: await one before the next begins.
class Chains {
public:
    static constexpr int colours = 7;

    Chains(Line line, Colour first) : line_(line), first_(first) {}

    void route(Pe& pe) const;
    /// Begins to add all PEs' `values` up into those of `root`; the others keep theirs.
    void reduce(Pe& pe, int root, Vec values, std::vector<Handle>& begun) const;
    /// Begins to copy `values` of `root` to all others.
    void broadcast(Pe& pe, int root, Vec values, std::vector<Handle>& begun) const;

private:
    struct Way {
        Line line;
        int root;
        Colour first;

        Colour out() const { return static_cast<Colour>(first + line.index % 2); }
        Colour in() const { return static_cast<Colour>(first + (line.index + 1) % 2); }
    };
    Way way(bool back, int root) const;
    /// Of what a root sends to both its neighbours at once; it differs from theirs.
    Colour spread(int root) const { return static_cast<Colour>(first_ + 4 + root % 3); }

    Line line_;
    Colour first_;
};

}  // namespace wb::fabric
