#include "kernels/cpu/overlap.hpp"

#include <algorithm>
#include <numeric>
#include <set>

namespace wb::cpu {
namespace {

bool contains(const std::vector<TensorId>& ids, TensorId id) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
}

/// Plans one block.
class BlockPlanner {
public:
    BlockPlanner(const Partition& part, int block, Bytes smallest, OverlapPlan& plan)
        : part_(part), g_(part.local), block_(block), smallest_(smallest), plan_(plan) {
        const Block& b = g_.blocks()[static_cast<std::size_t>(block)];
        order_.resize(static_cast<std::size_t>(b.last - b.first));
        std::iota(order_.begin(), order_.end(), b.first);
        for (const int i : order_)
            for (const TensorId id : op(i).in)
                if (contains(op(i).out, id)) in_place_.insert(index(id));
    }

    std::vector<Step> run() {
        std::size_t free_from = 0;  // ops before it may not be moved any more
        for (std::size_t at = 0; at < order_.size(); ++at) {
            if (!may_start(order_[at])) continue;
            if (free_from <= at) at = delay_others(free_from, at);
            const std::size_t reader = first_reader(at);
            const int product = product_of(at);
            if (product < 0 && reader == at + 1) continue;
            add(at, product, reader);
            free_from = std::max(free_from, reader);
        }
        return steps();
    }

private:
    const Op& op(int i) const { return g_.ops()[static_cast<std::size_t>(i)]; }

    bool may_start(int i) const {
        return op(i).kind == OpKind::collective && op(i).attributes.collective == CollectiveKind::allreduce &&
               !part_.among_replicas.at(static_cast<std::size_t>(i)) && g_.bytes(op(i).in[0]) >= smallest_;
    }
    bool movable(int i) const {
        const auto fixed = [&](TensorId id) { return in_place_.contains(index(id)); };
        return moves_freely(op(i).kind) && std::none_of(op(i).in.begin(), op(i).in.end(), fixed) &&
               std::none_of(op(i).out.begin(), op(i).out.end(), fixed);
    }

    /// Puts what the sum at `at` does not need behind it; returns where the sum is then.
    std::size_t delay_others(std::size_t from, std::size_t at) {
        std::set<std::size_t> wanted;
        std::vector<int> before, after;
        for (std::size_t k = at + 1; k-- > from;) {
            const Op& o = op(order_[k]);
            const bool needed = k == at || !movable(order_[k]) || std::any_of(o.out.begin(), o.out.end(), [&](auto id) {
                                    return wanted.contains(index(id));
                                });
            (needed ? before : after).push_back(order_[k]);
            if (needed)
                for (const TensorId id : o.in) wanted.insert(index(id));
        }
        std::reverse(before.begin(), before.end());
        std::reverse(after.begin(), after.end());
        std::copy(before.begin(), before.end(), order_.begin() + static_cast<std::ptrdiff_t>(from));
        std::copy(after.begin(), after.end(), order_.begin() + static_cast<std::ptrdiff_t>(from + before.size()));
        return from + before.size() - 1;
    }

    std::size_t first_reader(std::size_t at) const {
        const TensorId sum = op(order_[at]).out[0];
        for (std::size_t k = at + 1; k < order_.size(); ++k)
            if (contains(op(order_[k]).in, sum)) return k;
        return order_.size();
    }

    int product_of(std::size_t at) const {
        const TensorId summand = op(order_[at]).in[0];
        for (std::size_t k = at; k-- > 0;) {
            const Op& o = op(order_[k]);
            if (!contains(o.out, summand)) continue;
            const bool rows = o.kind == OpKind::matmul && !o.attributes.trans_a &&
                              !in_place_.contains(index(summand)) && g_.tensor(summand).shape.size() == 2;
            return rows ? order_[k] : -1;
        }
        return -1;
    }

    void add(std::size_t at, int product, std::size_t reader) {
        const auto begin = product < 0 ? at : position(product);
        const int last = *std::max_element(order_.begin() + static_cast<std::ptrdiff_t>(begin),
                                           order_.begin() + static_cast<std::ptrdiff_t>(reader));
        const auto hold = [&](int i, int until) {
            for (const TensorId id : op(i).in) plan_.holds.push_back({id, until});
            for (const TensorId id : op(i).out) plan_.holds.push_back({id, until});
        };
        for (std::size_t k = at; k < reader; ++k) hold(order_[k], last);
        if (product >= 0) plan_.holds.push_back({op(order_[at]).out[0], product});
        waits_.push_back({reader, plan_.sums.size()});
        plan_.sums.push_back({order_[at], product, block_, 0, 0});
    }

    std::size_t position(int i) const {
        return static_cast<std::size_t>(std::find(order_.begin(), order_.end(), i) - order_.begin());
    }

    std::vector<Step> steps() {
        std::vector<Step> out;
        for (std::size_t k = 0; k <= order_.size(); ++k) {
            for (const Wait& w : waits_)
                if (w.before == k) {
                    plan_.sums[w.sum].to = out.size();
                    out.push_back({plan_.sums[w.sum].sum, static_cast<int>(w.sum)});
                }
            if (k < order_.size()) out.push_back({order_[k]});
        }
        for (const Wait& w : waits_) {
            Overlap& o = plan_.sums[w.sum];
            const int first = o.product < 0 ? o.sum : o.product;
            o.from = static_cast<std::size_t>(
                std::find_if(out.begin(), out.end(), [&](const Step& s) { return s.op == first && s.wait_for < 0; }) -
                out.begin());
        }
        return out;
    }

    struct Wait {
        std::size_t before, sum;
    };
    const Partition& part_;
    const Graph& g_;
    int block_;
    Bytes smallest_;
    OverlapPlan& plan_;
    std::vector<int> order_;
    std::set<std::size_t> in_place_;
    std::vector<Wait> waits_;
};

}  // namespace

bool moves_freely(OpKind kind) {
    return kind == OpKind::matmul || kind == OpKind::head_matmul || kind == OpKind::sum_rows || kind == OpKind::add;
}

OverlapPlan plan_overlap(const Partition& part, Bytes smallest) {
    OverlapPlan plan;
    for (int b = 0; b < static_cast<int>(part.local.blocks().size()); ++b)
        plan.steps.push_back(BlockPlanner(part, b, smallest, plan).run());
    return plan;
}

}  // namespace wb::cpu
