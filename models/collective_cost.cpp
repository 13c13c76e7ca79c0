#include "models/collective_cost.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/error.hpp"

namespace wb::cluster {
namespace {

using Way = CollectiveAlgorithm;

int rounds(int n) { return std::bit_width(static_cast<unsigned>(n - 1)); }  // log2, rounded up
int passes(CollectiveKind kind) { return kind == CollectiveKind::allreduce ? 2 : 1; }

/// Leaf, spine and leaf instead of one leaf.
double spine_hop(const NetworkLevel& level) { return level.fabric->latency ? 2 * level.fabric->latency->value : 0; }

/// A collective of `bytes` over the levels before `end`.
class Messages {
public:
    Messages(CollectiveKind kind, double bytes, const std::vector<NetworkLevel>& levels, const std::vector<Link>& links,
             std::size_t end)
        : bytes_(bytes), passes_(passes(kind)), levels_(levels), links_(links), end_(end), n_(ranks(end)) {}

    /// An alltoall. Messages inside are sent first; each level has ports of its own, so the slower shows. A rank is
    /// busy with each message, and of those that leave waits for one after every `messages_under_way`. Along a
    /// dimension of a torus with `a` ranks a message goes a / 4 hops in the mean, over either of two links.
    double pairwise(RailPath path) const {
        double most = 0, busy = 0, relayed = 0;
        for (std::size_t i = end_; i-- > 1;)
            if (levels_[i].spine > 0 && path == RailPath::forwarded)
                relayed += other_rails(i) * (ranks(i + 1) - ranks(i)) / n_ * bytes_;
        for (std::size_t i = 0; i < end_; ++i) {
            const int there = ranks(i + 1) - ranks(i);
            const bool rails = levels_[i].spine > 0 && ranks(i) > 1;
            const Link link = rails ? railed(path, i) : links_[i];
            double share = static_cast<double>(there) / n_ * bytes_ / link.rate;
            if (i == 0) share += relayed / link.rate;
            if (levels_[i].links > 1)
                share *= box(n_, static_cast<int>(levels_[i].links)).front() * levels_[i].links / 4;
            const double waits = i > 0 ? std::ceil((n_ - 1.0) / messages_under_way) : 1;
            most = std::max(most, busy / 2 + waits * link.hop + share);
            busy += there * link.gap;
        }
        return std::max(busy, most);
    }
    /// A message that leaves through a level of rails, those to the own rail and those to others together.
    Link railed(RailPath path, std::size_t level) const {
        Link out = links_[level];
        if (path == RailPath::forwarded) out.hop += links_[0].hop;
        if (path != RailPath::spine) return out;
        const NetworkLevel& l = levels_[level];
        out.hop += spine_hop(l);
        out.rate = std::min(out.rate, out.rate * l.spine / l.rate / other_rails(level));
        return out;
    }

    double seconds(Way way) const {
        if (n_ <= 1) return 0;
        switch (way) {
            case Way::ring: return ring();
            case Way::recursive_doubling: return recursive_doubling();
            case Way::halving_doubling: return passes_ * (bruck_hops() + bruck_bytes(true));
            case Way::dissemination: return bruck_hops() + bruck_bytes(false);
            case Way::tree: return passes_ * tree();
            case Way::chain: return chain();
            case Way::pairwise: return pairwise();
            case Way::torus: return torus();
            case Way::hierarchical:
            case Way::dragonfly: return nested(way);
            default: throw ContractError("an algorithm without messages");
        }
    }

private:
    int ranks(std::size_t end) const { return end == 0 ? 1 : levels_[end - 1].ranks; }
    double one(std::size_t level, double bytes) const { return links_[level].hop + bytes / links_[level].rate; }
    /// Groups that a level joins.
    double groups(std::size_t level) const { return std::ceil(static_cast<double>(n_) / ranks(level)); }
    /// Of n messages around a ring those that go through a level and none outside it.
    double crossing(std::size_t level) const { return groups(level) - (level + 1 < end_ ? groups(level + 1) : 0); }
    /// The level that joins blocks of so many ranks.
    std::size_t joining(int block) const {
        std::size_t level = 0;
        while (level + 1 < end_ && levels_[level].ranks < block) ++level;
        return level;
    }

    /// A library lays a ring through every port of a group, so that all ports carry a share of a block that leaves it
    /// (channels of NCCL). A cycle of a torus uses the links of one dimension. Either a block on its way around sets
    /// the pace, or the slowest level, which every block must pass.
    double ring() const {
        double around = 0, slowest = 0;
        for (std::size_t i = 0; i < end_; ++i) {
            const double share = bytes_ / n_ / (links_[i].rate * levels_[i].rings / levels_[i].links);
            around += crossing(i) / n_ * (links_[i].hop + share);
            if (crossing(i) > 0) slowest = std::max(slowest, links_[i].gap + share);
        }
        return passes_ * (n_ - 1) * std::max(around, slowest);
    }

    /// Whole buffers between partners 1, 2, 4, ... apart.
    double doubling(int n) const {
        double out = 0;
        for (int d = 1; d < n; d *= 2) out += one(joining(2 * d), bytes_);
        return out;
    }
    /// Ranks beyond a power of two hand theirs to a neighbour first and are told the sum at last. Of three ranks the
    /// one in the middle finds the message of the third there already.
    double recursive_doubling() const {
        const int whole = static_cast<int>(std::bit_floor(static_cast<unsigned>(n_)));
        const double early = n_ == 3 ? links_[0].hop - links_[0].gap : 0;
        return doubling(whole) + (whole < n_ ? 2 * one(0, bytes_) - early : 0);
    }
    /// To or from the root. A rank whose number has a bit for every round is told last; where there is none, some
    /// rounds are another message of the same sender.
    double tree() const {
        const int all = rounds(n_);
        int hops = 0;
        for (int rank = 1; rank < n_; ++rank) hops = std::max(hops, std::popcount(static_cast<unsigned>(rank)));
        return doubling(n_) - (all - hops) * (links_[0].hop - links_[0].gap / 2);
    }
    /// Of rounds at distances 1, 2, 4, ... around a circle those beyond a domain leave it, and of the others together
    /// one at most: they go less than a domain far. But the ranks at its edge send all their bytes out.
    double bruck_hops() const {
        double out = 0;
        for (int d = 1; d < n_; d *= 2) out += links_[joining(4 * d)].hop;
        return out;
    }
    /// Seconds of those bytes: whole buffers, or so many of n blocks.
    double bruck_bytes(bool blocks) const {
        double out = 0, outer = 1 / links_[end_ - 1].rate;
        for (int d = 1; d < n_; d *= 2) {
            const double share = blocks ? static_cast<double>(std::min(d, n_ - d)) / n_ : 1;
            out += share * bytes_ * std::max(outer, 1 / links_[joining(2 * d)].rate);
        }
        return out;
    }
    /// One pass over n ranks of a level, blocks of bytes / n: 1, 2, 4, ... of them.
    double halving(std::size_t level, int n, double bytes) const {
        return rounds(n) * links_[level].hop + bytes * (n - 1) / n / links_[level].rate;
    }

    double chain() const {
        const int pieces = chain_pieces(bytes_, links_[end_ - 1]);
        double out = 0, slowest = 0;
        for (std::size_t i = 0; i < end_; ++i) {
            const double hops = i + 1 < end_ ? crossing(i) : crossing(i) - 1, share = bytes_ / pieces / links_[i].rate;
            out += hops * (links_[i].hop + share);
            // Only who passes pieces on is busy at both ends.
            if (hops > 0) slowest = std::max({slowest, share, (n_ > 2 ? 1 : 0.5) * links_[i].gap});
        }
        return out + (pieces - 1) * slowest;
    }

    double pairwise() const { return pairwise(alltoall_path(bytes_, levels_, links_)); }
    /// Of the ranks in another domain those on other rails.
    double other_rails(std::size_t level) const { return 1 - 1.0 / ranks(level); }

    /// The buffer in as many parts as there are dimensions, each beginning with another one: in every stage all parts
    /// move, each along its own dimension, and are the smaller the more dimensions they have gone along.
    double torus() const {
        std::vector<int> extents = box(n_, static_cast<int>(levels_[0].links));
        std::erase(extents, 1);
        const std::size_t m = extents.size();
        const double rate = links_[0].rate / levels_[0].links;
        double out = 0;
        std::vector<double> part(m, bytes_ / static_cast<double>(m));
        for (std::size_t stage = 0; stage < m; ++stage) {
            double longest = 0;
            for (std::size_t j = 0; j < m; ++j) {
                const double a = extents[(j + stage) % m];
                longest = std::max(longest, (a - 1) * (links_[0].hop + part[j] / a / rate));
                part[j] /= a;
            }
            out += longest;
        }
        return passes_ * out;
    }

    /// Around the ring of a domain, then its shards between domains, then back.
    double nested(Way way) const {
        const std::size_t last = end_ - 1;
        const int local = ranks(last), domains = static_cast<int>(groups(last));
        const CollectiveKind half = CollectiveKind::allgather;
        const double inner = passes_ * Messages(half, bytes_, levels_, links_, last).seconds(Way::ring);
        const double shard = bytes_ / local;
        const double outer =
            way == Way::hierarchical ? halving(last, domains, shard) : one(last, shard * (domains - 1) / domains);
        return inner + passes_ * outer;
    }

    double bytes_;
    int passes_;
    const std::vector<NetworkLevel>& levels_;
    const std::vector<Link>& links_;
    std::size_t end_;
    int n_;
};

}  // namespace

double traffic_factor(CollectiveKind kind, int ranks) {
    const double n = ranks;
    switch (kind) {
        case CollectiveKind::allreduce: return 2 * (n - 1) / n;
        case CollectiveKind::allgather:
        case CollectiveKind::reduce_scatter:
        case CollectiveKind::alltoall: return (n - 1) / n;
        default: return 1;
    }
}

int chain_pieces(double bytes, const Link& link) {
    return static_cast<int>(std::clamp(2 * bytes / (link.rate * link.hop), 1.0, 1024.0));
}

RailPath alltoall_path(double bytes, const std::vector<NetworkLevel>& levels, const std::vector<Link>& links) {
    const bool rails = levels.size() > 1 && levels.back().spine > 0 && levels[levels.size() - 2].ranks > 1;
    if (!rails) return RailPath::own;
    if (!forwards(levels.front())) return RailPath::spine;
    const Messages m(CollectiveKind::alltoall, bytes, levels, links, levels.size());
    return m.pairwise(RailPath::forwarded) <= m.pairwise(RailPath::spine) ? RailPath::forwarded : RailPath::spine;
}

Link rail_link(RailPath path, const std::vector<NetworkLevel>& levels, const std::vector<Link>& links) {
    if (path == RailPath::own) return links.back();
    return Messages(CollectiveKind::alltoall, 0, levels, links, levels.size()).railed(path, levels.size() - 1);
}

double other_rail_hop(const std::vector<NetworkLevel>& levels, double inner_hop) {
    const NetworkLevel& outer = levels.back();
    const bool rails = levels.size() > 1 && outer.spine > 0 && levels[levels.size() - 2].ranks > 1;
    if (!rails) return 0;
    return forwards(levels.front()) ? std::min(inner_hop, spine_hop(outer)) : spine_hop(outer);
}

double messages_seconds(Way way, CollectiveKind kind, double bytes, const std::vector<NetworkLevel>& levels,
                        const std::vector<Link>& links) {
    WB_EXPECT(levels.size() == links.size() && !levels.empty());
    return Messages(kind, bytes, levels, links, levels.size()).seconds(way);
}

double bytes_sent(Way way, CollectiveKind kind, double bytes, int n) {
    switch (way) {
        case Way::recursive_doubling:
        case Way::dissemination:
        case Way::tree: return rounds(n) * bytes;
        default: return traffic_factor(kind, n) * bytes;
    }
}

}  // namespace wb::cluster
