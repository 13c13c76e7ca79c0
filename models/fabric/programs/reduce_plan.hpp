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
/// one another. Else messages share colours, ordered by switch positions, and the plan serves once in a program.
class ReducePlan {
public:
    /// Throws Error if the colours do not suffice.
    ReducePlan(ReductionTree tree, Colours colours, Forwarding forwarding = Forwarding::streamed);

    const ReductionTree& tree() const { return tree_; }
    bool streamed() const { return forwarding_ == Forwarding::streamed; }
    bool reusable() const { return !switched_; }
    int colours() const { return used_; }  ///< of those lent, used
    /// Of the message that PE i > 0 sends.
    Colour colour(int i) const { return colour_[static_cast<std::size_t>(i)]; }

    /// What one colour does in the router of a PE, in this order.
    struct Use {
        Colour colour;
        int received;  ///< messages to this PE
        bool sent;     ///< the PE's own message
        bool passes;   ///< messages from beyond to PEs before this one
    };
    std::vector<Use> uses(int i) const;

private:
    bool give_own_colours(Colours colours);
    bool give_shared_colours(Colours colours, int lanes, bool switch_receivers);
    void note_passing();

    ReductionTree tree_;
    Forwarding forwarding_;
    std::vector<Colour> colour_;
    std::vector<std::uint32_t> passing_;  // bit c: messages of colour c pass over the PE
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
