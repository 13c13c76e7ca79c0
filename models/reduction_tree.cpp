#include "models/reduction_tree.hpp"

#include <algorithm>
#include <utility>

#include "core/error.hpp"

namespace wb {
namespace {

/// n choose k, or this if larger.
constexpr std::int64_t enough = std::int64_t{1} << 40;
std::int64_t choose(std::int64_t n, std::int64_t k) {
    if (k < 0 || k > n) return 0;
    k = std::min(k, n - k);
    std::int64_t value = 1;
    for (std::int64_t i = 1; i <= k; ++i) {
        value = value * (n - k + i) / i;
        if (value >= enough) return enough;
    }
    return value;
}

/// Hops of the dearest message: e[n, d] is convex in n, and its differences are 1, ..., 1, 2, ..., 2, 3, ... Let
/// m_d(v) be how many are v. The recurrence merges the differences of e[., d - 1] with those of e[., d] + 1, so
/// m_d(v) = m_{d-1}(v) + m_d(v - 1), which is Pascal's triangle: m_d(v) = C(v + d - 1, v).
std::int64_t longest(std::int64_t n, std::int64_t d) {
    std::int64_t x = 0;
    while (choose(x + d, x) < n) ++x;
    return x;
}

/// Size of the last child's part: the smallest s that attains e[n, d], as in the authors' released program.
int last_part(int n, int d) {
    const std::int64_t x = longest(n, d);
    if (x == 1) return n - 1;
    const std::int64_t least = choose(x + d - 2, x - 1), rest = choose(x + d - 2, x - 2);
    return static_cast<int>(std::max(least, n - rest - choose(x + d - 2, x - 1)));
}

void hang_least_energy(std::vector<int>& parent, int root, int n, int depth) {
    struct Part {
        int root, count, depth;
    };
    std::vector<Part> todo{{root, n, depth}};
    while (!todo.empty()) {
        Part part = todo.back();
        todo.pop_back();
        while (part.count > 1) {
            const int s = last_part(part.count, part.depth);
            part.count -= s;
            const int child = part.root + part.count;
            parent[static_cast<std::size_t>(child)] = part.root;
            todo.push_back({child, s, part.depth - 1});
        }
    }
}

std::vector<int> nobody(int count) {
    WB_EXPECT(count >= 1);
    return std::vector<int>(static_cast<std::size_t>(count), -1);
}

}  // namespace

ReductionTree::ReductionTree(std::vector<int> parent) : parent_(std::move(parent)) {
    WB_EXPECT(!parent_.empty() && parent_[0] == -1);
    const std::size_t n = parent_.size();
    first_.assign(n + 1, 0);
    for (std::size_t i = 1; i < n; ++i) {
        // Those around i - 1 that may still receive: itself and its ancestors.
        int open = static_cast<int>(i) - 1;
        while (open > parent_[i]) open = parent_[static_cast<std::size_t>(open)];
        WB_EXPECT(open >= 0 && open == parent_[i]);
        ++first_[static_cast<std::size_t>(open) + 1];
    }
    for (std::size_t i = 0; i < n; ++i) first_[i + 1] += first_[i];
    children_.resize(n - 1);
    std::vector<int> filled(first_.begin(), first_.end() - 1);
    for (std::size_t i = 1; i < n; ++i)
        children_[static_cast<std::size_t>(filled[static_cast<std::size_t>(parent_[i])]++)] = static_cast<int>(i);
}

std::span<const int> ReductionTree::children(int i) const {
    const auto at = static_cast<std::size_t>(i);
    return std::span(children_).subspan(static_cast<std::size_t>(first_[at]),
                                        static_cast<std::size_t>(first_[at + 1] - first_[at]));
}

std::span<const int> ReductionTree::stored_children(int i, Forwarding forwarding) const {
    const std::span<const int> all = children(i);
    if (i == 0 || all.empty()) return all;
    const bool passing = forwarding == Forwarding::streamed || 2 * (all.back() - i) > i - parent(i);
    return all.first(all.size() - (passing ? 1 : 0));
}

int ReductionTree::depth() const {
    std::vector<int> depth(parent_.size(), 0);
    for (std::size_t i = 1; i < parent_.size(); ++i) depth[i] = depth[static_cast<std::size_t>(parent_[i])] + 1;
    return *std::max_element(depth.begin(), depth.end());
}

std::int64_t ReductionTree::energy() const {
    std::int64_t hops = 0;
    for (std::size_t i = 1; i < parent_.size(); ++i) hops += static_cast<std::int64_t>(i) - parent_[i];
    return hops;
}

int ReductionTree::most_children() const {
    int most = 0;
    for (std::size_t i = 0; i + 1 < first_.size(); ++i) most = std::max(most, first_[i + 1] - first_[i]);
    return most;
}

ReductionTree star_tree(int count) {
    std::vector<int> parent = nobody(count);
    std::fill(parent.begin() + 1, parent.end(), 0);
    return ReductionTree(std::move(parent));
}

ReductionTree chain_tree(int count) {
    std::vector<int> parent = nobody(count);
    for (int i = 1; i < count; ++i) parent[static_cast<std::size_t>(i)] = i - 1;
    return ReductionTree(std::move(parent));
}

ReductionTree binary_tree(int count) {
    std::vector<int> parent = nobody(count);
    for (int i = 1; i < count; ++i) parent[static_cast<std::size_t>(i)] = i & (i - 1);
    return ReductionTree(std::move(parent));
}

int two_phase_groups(int count, int group) {
    WB_EXPECT(count >= 1 && group >= 0);
    if (group == 0)
        while (group * group < count) ++group;
    return (count + group - 1) / group;
}

ReductionTree two_phase_tree(int count, int group) {
    const std::int64_t groups = two_phase_groups(count, group);
    std::vector<int> parent = nobody(count);
    for (int i = 1; i < count; ++i) parent[static_cast<std::size_t>(i)] = i - 1;
    for (std::int64_t g = 1; g < groups; ++g)
        parent[static_cast<std::size_t>(g * count / groups)] = static_cast<int>((g - 1) * count / groups);
    return ReductionTree(std::move(parent));
}

ReductionTree least_energy_tree(int count, int depth) {
    WB_EXPECT(depth >= 1 || count == 1);
    std::vector<int> parent = nobody(count);
    hang_least_energy(parent, 0, count, depth);
    return ReductionTree(std::move(parent));
}

std::int64_t least_energy(int count, int depth) {
    WB_EXPECT(count >= 1 && (depth >= 1 || count == 1));
    if (count == 1) return 0;
    const std::int64_t x = longest(count, depth);
    std::int64_t hops = x * (count - choose(x - 1 + depth, x - 1));
    for (std::int64_t v = 1; v < x; ++v) hops += v * choose(v + depth - 1, v);
    return hops;
}

}  // namespace wb
