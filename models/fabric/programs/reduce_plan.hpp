#pragma once

#include <vector>

#include "models/fabric/program.hpp"
#include "models/reduction_tree.hpp"

namespace wb::fabric {

/// Colours first, first + 1, ..., first + count - 1, lent to a sub-program; nobody else may use them on its PEs.
struct Colours {
    Colour first = 0;
    int count = 1;
};

/// A reduction tree with a colour for every message and the routes that follow: made once, shared by all PEs. If the
/// colours suffice, no two messages that touch share one: the plan is `reusable`, any number of reductions may follow
/// one another. Else messages to the same PE share colours, ordered by switch positions, and it serves once a program.
class ReducePlan {
public:
    /// Throws Error if the colours do not suffice: needed_colours() tells what would.
    ReducePlan(ReductionTree tree, Colours colours);

    struct Position {
        bool from_ramp, to_ramp;  ///< else from the next PE, to the previous one
    };
    struct Routing {
        Colour colour;
        std::vector<Position> positions;
    };

    const ReductionTree& tree() const { return tree_; }
    int colours() const { return used_; }
    bool reusable() const { return !switched_; }
    /// Of the message that PE i > 0 sends.
    Colour colour(int i) const { return colour_[static_cast<std::size_t>(i)]; }
    const std::vector<Routing>& routing(int i) const { return routing_[static_cast<std::size_t>(i)]; }

private:
    ReductionTree tree_;
    std::vector<Colour> colour_;
    std::vector<std::vector<Routing>> routing_;
    int used_ = 0;
    bool switched_ = false;
};

/// Colours of a reusable plan: most messages that touch one PE.
int reusable_colours(const ReductionTree& tree);

/// Pipelined chain: two colours.
ReducePlan chain_plan(int count, Colours colours);
/// Chains in groups of about the square root of `count`, then a chain over the groups: three colours.
ReducePlan two_phase_plan(int count, Colours colours);

}  // namespace wb::fabric
