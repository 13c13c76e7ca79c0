#include "tests/models/fabric/forest.hpp"

#include <algorithm>
#include <set>

namespace wb::fabric::test {

namespace {

constexpr int most_positions = 4;

struct Branch {
    int node;
    Side out;                   ///< from the parent to this node
    std::vector<int> children;  ///< indices of branches
    bool own = false;           ///< sends (gather) or receives (scatter, multicast) a message
    int messages = 0;           ///< of the whole subtree
    std::vector<int> order;     ///< children, or -1 for its own, in turn
};

Side back(Side s) {
    constexpr Side sides[] = {south, west, north, east, ramp};
    return sides[s];
}

/// Grown from a free node, mostly at its tip; takes its nodes from `free`.
std::vector<Branch> grow(int rows, int columns, std::set<int>& free, Dice& dice) {
    const std::vector<int> candidates(free.begin(), free.end());
    std::vector<Branch> tree = {{dice.one_of(candidates), ramp, {}, false, 0, {}}};
    free.erase(tree[0].node);
    const int wanted = dice.between(1, std::max(1, static_cast<int>(candidates.size())));
    for (int tries = 0; static_cast<int>(tree.size()) < wanted && tries < 4 * wanted; ++tries) {
        const int size = static_cast<int>(tree.size());
        const int from = dice.chance(60) ? size - 1 : dice.below(size);
        const Side side = static_cast<Side>(dice.below(4));
        const int node = tree[static_cast<std::size_t>(from)].node;
        const int row = node / columns - (side == north) + (side == south);
        const int column = node % columns - (side == west) + (side == east);
        if (row < 0 || row >= rows || column < 0 || column >= columns) continue;
        if (free.erase(row * columns + column) == 0) continue;
        tree[static_cast<std::size_t>(from)].children.push_back(size);
        tree.push_back({row * columns + column, side, {}, false, 0, {}});
    }
    return tree;
}

class Builder {
public:
    Builder(std::vector<Branch> branches, Tree::Kind kind, int colour, Dice& dice)
        : branches_(std::move(branches)), colour_(colour), dice_(dice) {
        tree_.kind = kind;
        ring_ = kind != Tree::Kind::multicast && dice.chance(40);
    }

    Tree build() {
        for (std::size_t i = branches_.size(); i-- > 0;) count(branches_[i], i == 0);
        if (branches_[0].messages == 0) return tree_;
        if (tree_.kind == Tree::Kind::multicast) {
            multicast();
        } else {
            tree_.messages = switched(0, ramp);
        }
        return tree_;
    }

private:
    bool multicasts() const { return tree_.kind == Tree::Kind::multicast; }

    /// Children come after their parent: counted from the back, every subtree is known. A router has so many
    /// positions only: what does not fit stays silent.
    void count(Branch& b, bool root) {
        const bool leaf = b.children.empty();
        b.own = dice_.chance(leaf ? 100 : root ? 10 : 60);
        if (b.own) b.order.push_back(-1);
        for (const int child : b.children)
            if (branches_[static_cast<std::size_t>(child)].messages > 0) b.order.push_back(child);
        dice_.shuffle(b.order);
        const auto weight = [&](int i) { return i < 0 ? 1 : branches_[static_cast<std::size_t>(i)].messages; };
        if (!multicasts()) {
            if (dice_.chance(50))
                std::stable_sort(b.order.begin(), b.order.end(), [&](int i, int j) { return weight(i) < weight(j); });
            const auto positions = [&] {
                int n = 0;
                for (const int i : b.order) n += weight(i);
                return ring_ || b.order.empty() ? n : n - weight(b.order.back()) + 1;
            };
            // A single source or destination needs no switch.
            while (b.order.size() > 1 && positions() > most_positions) b.order.erase(b.order.begin());
        }
        for (const int i : b.order) b.messages += weight(i);
        b.own = std::find(b.order.begin(), b.order.end(), -1) != b.order.end();
    }

    void multicast() {
        Message m{branches_[0].node, {}, false};
        for (std::size_t i = 0; i < branches_.size(); ++i) {
            const Branch& b = branches_[i];
            if (!reached(i)) continue;
            Position p{back(b.out), {}};
            for (const int child : b.order)
                p.to.push_back(child < 0 ? ramp : branches_[static_cast<std::size_t>(child)].out);
            if (b.own) m.receivers.push_back(b.node);
            tree_.routes[b.node] = {colour_, {p}, false};
        }
        tree_.messages = {m};
    }

    bool reached(std::size_t i) const {
        if (i == 0) return true;
        for (std::size_t p = 0; p < branches_.size(); ++p)
            for (const int child : branches_[p].order)
                if (child == static_cast<int>(i)) return reached(p);
        return false;
    }

    /// Routes of this subtree; returns its messages in the order in which they pass this router.
    std::vector<Message> switched(int index, Side towards_root) {
        const Branch b = branches_[static_cast<std::size_t>(index)];
        const bool gather = tree_.kind == Tree::Kind::gather;
        ColourRoute route{colour_, {}, false};
        std::vector<Message> all;
        for (std::size_t k = 0; k < b.order.size(); ++k) {
            const int i = b.order[k];
            const Side side = i < 0 ? ramp : branches_[static_cast<std::size_t>(i)].out;
            std::vector<Message> part;
            if (i >= 0)
                part = switched(i, back(side));
            else if (gather)
                part = {{b.node, index == 0 ? std::vector<int>{b.node} : std::vector<int>{}, true}};
            else
                part = {{branches_[0].node, {b.node}, true}};
            if (i >= 0 && gather && index == 0)
                for (Message& m : part) m.receivers.push_back(b.node);
            add_positions(route, b, part, gather ? side : towards_root, gather ? towards_root : side,
                          b.order.size() == 1 || (!ring_ && k + 1 == b.order.size()));
            all.insert(all.end(), part.begin(), part.end());
        }
        route.ring = ring_ && route.positions.size() > 1;
        tree_.once = tree_.once || (route.positions.size() > 1 && !route.ring);
        tree_.routes[b.node] = route;
        return all;
    }

    /// A position for every message of this part, or one for all of them. Some are heard at this PE in passing.
    void add_positions(ColourRoute& route, const Branch& b, std::vector<Message>& part, Side from, Side to,
                       bool single) {
        for (std::size_t k = 0; k < part.size(); ++k) {
            if (!single || k == 0) {
                route.positions.push_back({from, {to}});
                if (from != ramp && to != ramp && dice_.chance(20)) route.positions.back().to.push_back(ramp);
            }
            if (to != ramp && route.positions.back().to.size() > 1) part[k].receivers.push_back(b.node);
        }
    }

    std::vector<Branch> branches_;
    int colour_;
    Dice& dice_;
    bool ring_ = false;
    Tree tree_;
};

}  // namespace

std::vector<Tree> grow_forest(int rows, int columns, int colour, Dice dice) {
    std::set<int> free;
    for (int i = 0; i < rows * columns; ++i) free.insert(i);
    std::vector<Tree> forest;
    const int trees = dice.chance(60) ? 1 : dice.between(2, 4);
    for (int i = 0; i < trees && !free.empty(); ++i) {
        std::vector<Branch> branches = grow(rows, columns, free, dice);
        const Tree::Kind kind = dice.chance(50)   ? Tree::Kind::multicast
                                : dice.chance(60) ? Tree::Kind::gather
                                                  : Tree::Kind::scatter;
        Tree tree = Builder(std::move(branches), kind, colour, dice).build();
        if (!tree.messages.empty()) forest.push_back(std::move(tree));
    }
    return forest;
}

}  // namespace wb::fabric::test
