#include <map>
#include <string>

#include "core/hash.hpp"
#include "tests/kernels/arena.hpp"

using namespace wb;

namespace {

const Fill reals{Fill::Kind::uniform, 1.0};
using Ids = std::vector<TensorId>;

/// Random graphs of blocks, some repeated, that read each other's values; only lifetimes matter here, not numbers.
class RandomGraph {
public:
    explicit RandomGraph(std::uint64_t seed, bool products = false)
        : state_(seed << 32), products_(products), g_("random") {
        pool_.push_back(g_.input("x", {4, 8}, DType::f64, reals));
        for (std::int64_t i = 1 + roll(5); i > 0; --i) roll(2) ? grow(pool_, 1 + roll(6)) : repeat();
        grow(pool_, 2);
    }
    const Graph& graph() const { return g_; }

private:
    std::int64_t roll(std::int64_t n) {
        return static_cast<std::int64_t>(mix64(state_++) % static_cast<std::uint64_t>(n));
    }

    /// Made by the graph's latest op, or the one before.
    bool is_new(TensorId x) const {
        const std::span<const Op> ops = g_.ops();
        return (!ops.empty() && ops.back().out[0] == x) || (ops.size() > 1 && ops[ops.size() - 2].out[0] == x);
    }

    TensorId resized(TensorId x, std::int64_t rows) {
        Attributes a{.rows = rows};
        return g_.add(OpKind::last_rows_backward, "t" + std::to_string(g_.ops().size()), {x}, a);
    }
    /// A product of the newest value or of another, and what may be computed with it.
    TensorId product(const Ids& pool, TensorId x, TensorId y) {
        const std::string name = "p" + std::to_string(g_.ops().size());
        if (roll(2)) x = pool.back();
        const bool alike = g_.tensor(x).shape == g_.tensor(y).shape;
        switch (roll(6)) {
            case 0: return g_.add(OpKind::gelu, name, {x});
            case 1: return g_.add(alike ? OpKind::add : OpKind::gelu, name, alike ? Ids{y, x} : Ids{x});
            case 2: {
                if (!alike) return x;
                const TensorId z = g_.add(OpKind::gelu_backward, name, {x, y});
                if (roll(2)) g_.mark_output(g_.add(OpKind::sum_rows, name + ".sum", {z}));
                return z;
            }
            case 3: g_.mark_output(g_.add(OpKind::sum_rows, name, {roll(2) ? x : y})); return x;
            case 4: {
                if (!alike) return x;
                const TensorId z = g_.add(OpKind::matmul, name, {x, y}, {.trans_a = true});
                g_.mark_output(g_.add(OpKind::sum_rows, name + ".sum", {roll(2) ? x : y}));
                return z;
            }
            default: return g_.add(OpKind::matmul, name, {x, g_.weight(name, {8, 8}, DType::f64, reals)});
        }
    }

    void grow(Ids& pool, std::int64_t ops) {
        for (; ops > 0; --ops) {
            TensorId x = pool[roll(static_cast<std::int64_t>(pool.size()))];
            const TensorId y = pool[roll(static_cast<std::int64_t>(pool.size()))];
            if (products_ && roll(3))
                x = product(pool, x, y);
            else if (roll(2))
                x = resized(x, 1 + roll(40));
            else if (g_.tensor(x).shape == g_.tensor(y).shape)
                x = g_.add(OpKind::add, "s" + std::to_string(g_.ops().size()), {x, y});
            else
                x = g_.add(OpKind::gelu, "g" + std::to_string(g_.ops().size()), {x});
            if (roll(8) == 0 && is_new(x)) g_.mark_output(x);
            pool.push_back(x);
        }
    }
    void repeat() {
        const std::int64_t n = 1 + roll(4);
        Ids init, fresh;
        for (std::int64_t i = roll(4); i > 0; --i) init.push_back(pool_[roll(static_cast<std::int64_t>(pool_.size()))]);
        if (init.size() > 1 && roll(2)) init[1] = init[0];  // values of one shape, which may change places
        const Ids last = g_.repeat(
            n, init,
            [&](const Ids& in) {
                Ids local = pool_, out;
                local.insert(local.end(), of_count_[n].begin(), of_count_[n].end());
                local.insert(local.end(), in.begin(), in.end());
                const std::size_t outer = local.size();
                grow(local, 1 + roll(4));
                fresh = in;
                for (TensorId id : in) {
                    const TensorId other = in[roll(static_cast<std::int64_t>(in.size()))];
                    const bool hand_on = other != id && g_.tensor(other).shape == g_.tensor(id).shape && roll(2);
                    out.push_back(hand_on ? other : resized(local.back(), g_.tensor(id).shape[0]));
                }
                grow(local, roll(6));  // ops after the handed on values are written
                fresh.insert(fresh.end(), local.begin() + static_cast<std::ptrdiff_t>(outer), local.end());
                return out;
            },
            roll(2) == 1);
        of_count_[n].insert(of_count_[n].end(), fresh.begin(), fresh.end());
        for (TensorId id : last)
            if (roll(4) == 0) g_.mark_output(id);
        pool_.insert(pool_.end(), last.begin(), last.end());
    }

    std::uint64_t state_;
    const bool products_;
    Graph g_;
    Ids pool_;                              // values outside repeats
    std::map<std::int64_t, Ids> of_count_;  // values inside repeats of a count, which others of that count may read
};

}  // namespace

TEST_CASE("no value is overwritten before its last use, in any of many random graphs") {
    for (std::uint64_t seed = 0; seed < 2000; ++seed) {
        const RandomGraph random(seed);
        const std::string lost = Arena(random.graph()).first_lost();
        REQUIRE_MESSAGE(lost.empty(), "seed ", seed, ": ", lost);
    }
}

TEST_CASE("no value is overwritten before its last use where ops are computed with a product, whichever they are") {
    std::map<std::string, int> fused;
    for (std::uint64_t seed = 0; seed < 2000; ++seed) {
        const RandomGraph random(seed, true);
        const Graph& g = random.graph();
        std::uint64_t draw = seed;
        const auto some = [&](const Fusion&) { return mix64(draw++) % 4 != 0; };
        const FusedOps found = fuse(g, some);
        for (const Fusion& f : found.fusions) {
            for (int i : f.others())
                ++fused[std::string(name(g.ops()[i].kind)) + (i == f.activation && f.kept ? " kept" : "")];
            ++fused["sum " + std::to_string(static_cast<int>(f.summed))];
        }
        const std::string lost = Arena(g, found).first_lost();
        REQUIRE_MESSAGE(lost.empty(), "seed ", seed, ": ", lost);
    }
    for (const char* kind : {"gelu", "gelu kept", "gelu_backward", "add", "sum 1", "sum 2", "sum 3"})
        CHECK_MESSAGE(fused[kind] > 5, std::string(kind), ": ", fused[kind]);
}
