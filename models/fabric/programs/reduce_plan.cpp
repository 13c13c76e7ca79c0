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

ReducePlan::ReducePlan(ReductionTree tree, Colours colours, Serves serves, Forwarding forwarding)
    : tree_(std::move(tree)), forwarding_(forwarding), colour_(at(tree_.count())), passing_(at(tree_.count())) {
    WB_EXPECT(colours.count >= 0 && colours.first + colours.count <= 32);
    switched_ = give_shared_colours(colours, true, false) || give_shared_colours(colours, false, false) ||
                give_shared_colours(colours, false, true);
    if (switched_) note_passing();
    reusable_ = switched_ && routers_return();
    if (reusable_ || (switched_ && serves == Serves::once)) return;
    if (!give_own_colours(colours))
        throw Error({fmt::format("reduction of {} PEs", tree_.count()),
                     fmt::format("{} {} not enough", colours.count, colours.count == 1 ? "colour is" : "colours are"),
                     "messages that meet in a router need colours of their own",
                     fmt::format("{} make it reusable, fewer may serve once.", reusable_colours(tree_))});
    note_passing();
    switched_ = false;
    reusable_ = true;
}

/// Messages are intervals [parent, child]; those that touch get different colours. Taking them by their left end and
/// the first free colour uses as few colours as possible.
bool ReducePlan::give_own_colours(Colours colours) {
    used_ = 0;
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

/// Of PE i's children: on which of two colours each sends. A pair of leaves needs both; another message comes behind
/// the one before it, lest its wavelets, filling queues on the way, delay that.
std::vector<int> ReducePlan::lanes(int i) const {
    std::vector<int> lanes(tree_.children(i).size(), 0);
    const auto stored = stored_children(i);
    for (std::size_t k = 0; k < lanes.size(); ++k) {
        if (tree_.pair(stored, k))
            lanes[++k] = 1;
        else if (k > 0)
            lanes[k] = lanes[k - 1];
    }
    return lanes;
}

/// A router serves the messages to its own PE, then the PE's own, then those from beyond; as it can count only three
/// switches before the last position, receiving and passing on one colour is for few children, if at all.
bool ReducePlan::give_shared_colours(Colours colours, bool pairs, bool switch_receivers) {
    used_ = 0;
    std::fill(passing_.begin(), passing_.end(), 0);
    for (int i = 0; i < tree_.count(); ++i) {
        const auto children = tree_.children(i);
        if (children.empty()) continue;
        std::vector<int> lane = pairs ? lanes(i) : std::vector<int>(children.size(), 0);
        const auto needed = at(*std::max_element(lane.begin(), lane.end()) + 1);
        const bool few = switch_receivers && children.size() < most_positions;
        const std::uint32_t barred = (i > 0 ? bit(colour(i)) : 0) | (few ? 0 : passing_[at(i)]);
        std::vector<Colour> own;
        for (int c = 0; c < colours.count && own.size() < needed; ++c)
            if (const auto colour = static_cast<Colour>(colours.first + c); (barred & bit(colour)) == 0)
                own.push_back(colour);
        if (own.size() < needed) return false;
        std::uint32_t passing = passing_[at(i)];
        for (std::size_t k = children.size(); k-- > 0;) {
            const Colour colour = own[at(lane[k])];
            colour_[at(children[k])] = colour;
            passing_[at(children[k])] = passing;
            passing |= bit(colour);
            used_ = std::max(used_, colour - colours.first + 1);
        }
    }
    return true;
}

/// What passes over a PE passes over all PEs whose messages it adds up; so do messages of its later siblings.
void ReducePlan::note_passing() {
    std::fill(passing_.begin(), passing_.end(), 0);
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
    const auto children = tree_.children(i);
    std::uint32_t rest = passing_[at(i)];
    if (i > 0) rest |= bit(colour(i));
    for (const int child : children) rest |= bit(colour(child));
    std::vector<Use> uses;
    for (; rest != 0; rest &= rest - 1) {
        const auto c = static_cast<Colour>(std::countr_zero(rest));
        const auto received = std::count_if(children.begin(), children.end(), [&](int k) { return colour(k) == c; });
        const int sent = i > 0 && colour(i) == c ? 1 : 0;
        int passing = 0;
        if ((passing_[at(i)] & bit(c)) != 0 && (sent > 0 || received > 0)) {
            // Later children of the PEs on the way to the first one.
            for (int below = i, above = tree_.parent(i); above >= 0; below = above, above = tree_.parent(above))
                for (const int k : tree_.children(above)) passing += k > below && colour(k) == c ? 1 : 0;
        } else if ((passing_[at(i)] & bit(c)) != 0) {
            passing = 1;  // or more, which is the same to it
        }
        uses.push_back({c, static_cast<int>(received), sent, passing});
    }
    return uses;
}

/// Every router is back at its first position after all messages of one reduction.
bool ReducePlan::routers_return() const {
    for (int i = 0; i < tree_.count(); ++i)
        for (const Use& use : uses(i)) {
            const bool switches = (use.received > 0) + (use.sent > 0) + (use.passing > 0) > 1;
            if (switches && use.received + use.sent + use.passing > most_positions) return false;
        }
    return true;
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

ReducePlan chain_plan(int count, Colours colours) { return {chain_tree(count), colours, Serves::often}; }

ReducePlan two_phase_plan(int count, Colours colours) { return {two_phase_tree(count), colours, Serves::often}; }

}  // namespace wb::fabric
