#include <algorithm>
#include <map>
#include <mutex>
#include <tuple>
#include <vector>

#include "core/error.hpp"
#include "models/collective_laws.hpp"

namespace wb {
namespace {

/// Depths worth trying: all small ones, then ever fewer, as cycles change slowly with the depth there.
std::vector<int> depths(int count) {
    std::vector<int> some;
    for (int d = 1; d < count; d += std::max(1, d / 32)) some.push_back(d);
    if (count > 1 && some.back() != count - 1) some.push_back(count - 1);
    return some;
}

/// Answers that take a while to find; the same for all threads.
template <class Key, class Value>
class Memo {
public:
    template <class Find>
    Value operator()(const Key& key, const Find& find) {
        {
            const std::lock_guard lock(mutex_);
            if (const auto known = known_.find(key); known != known_.end()) return known->second;
        }
        const Value value = find();
        const std::lock_guard lock(mutex_);
        if (known_.size() >= most) known_.clear();
        return known_.try_emplace(key, value).first->second;
    }

private:
    static constexpr std::size_t most = 1 << 16;
    std::mutex mutex_;
    std::map<Key, Value> known_;
};

constexpr ReduceAlgorithm simple[] = {ReduceAlgorithm::star, ReduceAlgorithm::chain, ReduceAlgorithm::tree,
                                      ReduceAlgorithm::two_phase};

}  // namespace

ReductionTree generated_tree(const Mesh& m, int count, std::int64_t b) {
    if (count == 1) return chain_tree(1);
    int best_depth = 1;
    std::int64_t best = -1;
    for (const int depth : depths(count)) {
        const std::int64_t cycles = reduce_cycles(m, least_energy_tree(count, depth), b);
        if (best >= 0 && cycles >= best) continue;
        best = cycles;
        best_depth = depth;
    }
    return least_energy_tree(count, best_depth);
}

ReductionTree fastest_tree(const Mesh& m, int count, std::int64_t b) {
    // Of the fastest part of n PEs: when its first PE sends, and how many the last child's part has.
    const auto n_parts = static_cast<std::size_t>(count) + 1;
    std::vector<std::int64_t> send(n_parts, m.vector_start_cycles), ready(n_parts, 0);
    std::vector<int> last(n_parts, 0);
    for (std::size_t n = 2; n < n_parts; ++n) {
        std::int64_t best = -1;
        for (std::size_t s = 1; s < n; ++s) {
            const auto hops = static_cast<std::int64_t>(n - s);
            const std::int64_t begin =
                std::max(ready[n - s] + m.vector_start_cycles, send[s] + hops * m.hop_cycles + 2 * m.ramp_cycles + 1);
            if (best >= 0 && begin >= best) continue;
            best = begin;
            last[n] = static_cast<int>(s);
        }
        send[n] = best;
        ready[n] = best + b;
    }
    std::vector<int> parent(static_cast<std::size_t>(count), -1);
    std::vector<std::pair<int, int>> todo{{0, count}};  // first PE and size of a part
    while (!todo.empty()) {
        auto [root, n] = todo.back();
        todo.pop_back();
        while (n > 1) {
            const int s = last[static_cast<std::size_t>(n)];
            n -= s;
            const int child = root + n;
            parent[static_cast<std::size_t>(child)] = root;
            todo.emplace_back(child, s);
        }
    }
    return ReductionTree(std::move(parent));
}

std::string_view name(ReduceAlgorithm algorithm) {
    constexpr std::string_view names[] = {"star", "chain", "tree", "two-phase", "generated", "fastest"};
    return names[static_cast<std::size_t>(algorithm)];
}

ReductionTree reduction_tree(ReduceAlgorithm algorithm, const Mesh& m, int count, std::int64_t b) {
    switch (algorithm) {
        case ReduceAlgorithm::star: return star_tree(count);
        case ReduceAlgorithm::chain: return chain_tree(count);
        case ReduceAlgorithm::tree: return binary_tree(count);
        case ReduceAlgorithm::two_phase: return two_phase_tree(count);
        case ReduceAlgorithm::generated: return generated_tree(m, count, b);
        case ReduceAlgorithm::fastest: return fastest_tree(m, count, b);
    }
    throw ContractError("unknown reduce algorithm");
}

std::int64_t reduce_cycles(ReduceAlgorithm algorithm, const Mesh& m, int count, std::int64_t b) {
    switch (algorithm) {
        case ReduceAlgorithm::star: return star_cycles(m, count, b);
        case ReduceAlgorithm::chain: return chain_cycles(m, count, b);
        case ReduceAlgorithm::tree: return tree_cycles(m, count, b);
        case ReduceAlgorithm::two_phase: return two_phase_cycles(m, count, b);
        default: return reduce_cycles(m, reduction_tree(algorithm, m, count, b), b);
    }
}

ReduceChoice best_simple_reduce(const Mesh& m, int count, std::int64_t b) {
    ReduceChoice best{ReduceAlgorithm::chain, chain_cycles(m, count, b)};
    for (const ReduceAlgorithm algorithm : simple)
        if (const std::int64_t cycles = reduce_cycles(algorithm, m, count, b); cycles < best.cycles)
            best = {algorithm, cycles};
    return best;
}

ReduceChoice best_reduce(const Mesh& m, int count, std::int64_t b) {
    using Key = std::tuple<int, std::int64_t, int, int, int>;
    static Memo<Key, ReduceChoice> memo;
    const Key key{count, b, m.ramp_cycles, m.hop_cycles, m.vector_start_cycles};
    return memo(key, [&] {
        ReduceChoice best = best_simple_reduce(m, count, b);
        for (const ReduceAlgorithm algorithm : {ReduceAlgorithm::generated, ReduceAlgorithm::fastest})
            if (const std::int64_t cycles = reduce_cycles(algorithm, m, count, b); cycles < best.cycles)
                best = {algorithm, cycles};
        return best;
    });
}

AllreduceChoice best_allreduce(const Mesh& m, int count, std::int64_t b) {
    const ReduceChoice reduce = best_reduce(m, count, b);
    const std::int64_t there_and_back = reduce.cycles + broadcast_cycles(m, count, b);
    const std::int64_t ring = ring_allreduce_cycles(m, count, b);
    return {ring < there_and_back, reduce.algorithm, std::min(ring, there_and_back)};
}

Reduce2dChoice best_reduce_2d(const Mesh& m, int rows, int columns, std::int64_t b) {
    const ReduceChoice along_rows = best_reduce(m, columns, b), along_columns = best_reduce(m, rows, b);
    const std::int64_t x_then_y = along_rows.cycles + along_columns.cycles, snake = chain_cycles(m, rows * columns, b);
    return {snake < x_then_y, along_rows.algorithm, along_columns.algorithm, std::min(snake, x_then_y)};
}

std::int64_t best_allreduce_2d_cycles(const Mesh& m, int rows, int columns, std::int64_t b) {
    return best_reduce_2d(m, rows, columns, b).cycles + broadcast_2d_cycles(m, rows, columns, b);
}

}  // namespace wb
