#pragma once

#include <span>
#include <vector>

#include "models/fabric/program.hpp"
#include "models/reduction_tree.hpp"

namespace wb::fabric {

/// Colours first, first + 1, ..., first + count - 1, lent to a sub-program; nobody else may use them on its PEs.
struct Colours {
    Colour first = 0;
    int count = 1;
};

/// How often a program may use a plan. Routers that serve more than four messages of a colour, other than from one side
/// to one side, lose count after the first reduction.
enum class Serves : std::uint8_t { once, often };

/// A reduction tree with a colour for every message and the routes that follow: made once, shared by all PEs. Messages
/// share few colours, in an order that switch positions keep; if that serves only once and `often` is asked, all
/// messages that touch get different colours, which costs some cycles as the later ones fill their queues early.
class ReducePlan {
public:
    /// Throws Error if the colours do not suffice.
    ReducePlan(ReductionTree tree, Colours colours, Serves serves = Serves::once,
               Forwarding forwarding = Forwarding::streamed);

    const ReductionTree& tree() const { return tree_; }
    bool reusable() const { return reusable_; }
    /// Messages carry the control flag.
    bool switched() const { return switched_; }
    int colours() const { return used_; }  ///< of those lent, used
    /// Of the message that PE i > 0 sends.
    Colour colour(int i) const { return colour_[static_cast<std::size_t>(i)]; }
    std::span<const int> stored_children(int i) const { return tree_.stored_children(i, forwarding_); }

    /// What one colour does in the router of a PE, in this order.
    struct Use {
        Colour colour;
        int received;  ///< messages to this PE
        int sent;      ///< the PE's own message, or none
        int passing;   ///< messages from beyond to PEs before this one
    };
    std::vector<Use> uses(int i) const;

private:
    bool give_own_colours(Colours colours);
    bool give_shared_colours(Colours colours, bool pairs, bool switch_receivers);
    std::vector<int> lanes(int i) const;
    void note_passing();
    bool routers_return() const;

    ReductionTree tree_;
    Forwarding forwarding_;
    std::vector<Colour> colour_;
    std::vector<std::uint32_t> passing_;  // bit c: messages of colour c pass over the PE
    int used_ = 0;
    bool switched_ = false, reusable_ = true;
};

/// Colours that make any plan serve often: most messages that touch one PE.
int reusable_colours(const ReductionTree& tree);

/// Pipelined chain: two colours; serves often.
ReducePlan chain_plan(int count, Colours colours);
/// Chains in groups of about the square root of `count`, then a chain over the groups: three colours; serves often.
ReducePlan two_phase_plan(int count, Colours colours);

}  // namespace wb::fabric
