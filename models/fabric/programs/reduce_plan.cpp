#include "models/fabric/programs/reduce_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "core/error.hpp"

namespace wb::fabric {
namespace {

constexpr std::uint32_t bit(Colour c) { return 1U << c; }

std::size_t at(int i) { return static_cast<std::size_t>(i); }

}  // namespace

ReducePlan::ReducePlan(ReductionTree tree, Colours colours, Forwarding forwarding)
    : tree_(std::move(tree)), forwarding_(forwarding), colour_(at(tree_.count())), passing_(at(tree_.count())) {
    WB_EXPECT(colours.count >= 0 && colours.first + colours.count <= 32);
    if (give_own_colours(colours)) {
        note_passing();
        return;
    }
    switched_ = true;
    if (give_shared_colours(colours, 2, false) || give_shared_colours(colours, 1, false) ||
        give_shared_colours(colours, 1, true)) {
        note_passing();
        return;
    }
    throw Error({fmt::format("reduction of {} PEs", tree_.count()),
                 fmt::format("{} {} not enough", colours.count, colours.count == 1 ? "colour is" : "colours are"),
                 "messages that meet in a router need colours of their own",
                 fmt::format("Give it more; {} make it reusable.", reusable_colours(tree_))});
}

/// Messages are intervals [parent, child]; those that touch get different colours. Taking them by their left end and
/// the first free colour uses as few colours as possible.
bool ReducePlan::give_own_colours(Colours colours) {
    std::vector<int> taken_to(at(colours.count), -1);
    for (int parent = 0; parent < tree_.count(); ++parent)
        for (const int child : tree_.children(parent)) {
            const auto free = std::find_if(taken_to.begin(), taken_to.end(), [&](int end) { return end < parent; });
            if (free == taken_to.end()) return false;
            *free = child;
            const auto c = static_cast<int>(free - taken_to.begin());
            colour_[at(child)] = static_cast<Colour>(colours.first + c);
            used_ = std::max(used_, c + 1);
        }
    return true;
}

/// All children of a PE share `lanes` colours in turn (two hide the cycle a switch takes). A router serves the messages
/// to its own PE, then the PE's own, then those from beyond; as it can count only three switches before the last
/// position, receiving and passing on one colour is allowed for so few children, if at all.
bool ReducePlan::give_shared_colours(Colours colours, int lanes, bool switch_receivers) {
    used_ = 0;
    std::fill(passing_.begin(), passing_.end(), 0);
    for (int i = 0; i < tree_.count(); ++i) {
        const auto children = tree_.children(i);
        const auto each = (static_cast<int>(children.size()) + lanes - 1) / lanes;
        const std::uint32_t own = i > 0 ? bit(colour_[at(i)]) : 0;
        const std::uint32_t barred = own | (switch_receivers && each <= most_positions - 1 ? 0 : passing_[at(i)]);
        std::vector<Colour> lane;
        for (int c = 0; c < colours.count && static_cast<int>(lane.size()) < lanes; ++c)
            if (const auto colour = static_cast<Colour>(colours.first + c); (barred & bit(colour)) == 0)
                lane.push_back(colour);
        if (!children.empty() && static_cast<int>(lane.size()) < std::min<int>(lanes, static_cast<int>(children.size())))
            return false;
        std::uint32_t passing = passing_[at(i)];
        for (std::size_t k = children.size(); k-- > 0;) {
            colour_[at(children[k])] = lane[k % at(lanes)];
            passing_[at(children[k])] = passing;
            passing |= bit(lane[k % at(lanes)]);
            used_ = std::max(used_, lane[k % at(lanes)] - colours.first + 1);
        }
    }
    return true;
}

/// What passes over a PE passes over all PEs whose messages it adds up; so do messages of its later siblings.
void ReducePlan::note_passing() {
    for (int i = 0; i < tree_.count(); ++i) {
        const auto children = tree_.children(i);
        std::uint32_t passing = passing_[at(i)];
        for (std::size_t k = children.size(); k-- > 0;) {
            passing_[at(children[k])] = passing;
            passing |= bit(colour_[at(children[k])]);
        }
    }
}

std::vector<ReducePlan::Use> ReducePlan::uses(int i) const {
    std::vector<Use> uses;
    std::uint32_t rest = passing_[at(i)];
    if (i > 0) rest |= bit(colour(i));
    for (const int child : tree_.children(i)) rest |= bit(colour(child));
    for (; rest != 0; rest &= rest - 1) {
        const auto c = static_cast<Colour>(std::countr_zero(rest));
        const auto children = tree_.children(i);
        const auto received = std::count_if(children.begin(), children.end(), [&](int k) { return colour(k) == c; });
        uses.push_back({c, static_cast<int>(received), i > 0 && colour(i) == c, (passing_[at(i)] & bit(c)) != 0});
    }
    return uses;
}

int reusable_colours(const ReductionTree& tree) {
    // Touching PE i: messages to it, its own, and those that pass over it.
    std::vector<int> over(at(tree.count()), 0);
    int most = 0;
    for (int i = 0; i < tree.count(); ++i) {
        const auto children = tree.children(i);
        const int k = static_cast<int>(children.size());
        for (int j = 0; j < k; ++j) over[at(children[at(j)])] = over[at(i)] + k - 1 - j;
        most = std::max(most, over[at(i)] + k + (i > 0 ? 1 : 0));
    }
    return most;
}

ReducePlan chain_plan(int count, Colours colours) { return {chain_tree(count), colours}; }

ReducePlan two_phase_plan(int count, Colours colours) { return {two_phase_tree(count), colours}; }

}  // namespace wb::fabric
