#pragma once

#include <vector>

#include "models/collective_algorithm.hpp"

namespace wb::cluster {

/// What a message through one level costs: hop + bytes / rate. A rank that sends and receives one message after the
/// other is busy for `gap` with each, or for its bytes.
struct Link {
    double hop = 0;   ///< s
    double rate = 1;  ///< bytes/s of a rank while all send
    double gap = 0;   ///< s; at most the hop
};

/// What a rank sends: the factor f of time = f bytes / bus bandwidth (nccl-tests, PERFORMANCE.md).
double traffic_factor(CollectiveKind kind, int ranks);

/// Messages of an alltoall that are under way at once: grouped sends of a library, few wait for the one before.
constexpr int messages_under_way = 32;
/// Pieces a chain cuts its buffer into: as short as a hop half over; more would cost hops, fewer a longer filling.
int chain_pieces(double bytes, const Link& link);

/// How messages to another domain find the rail of their receiver (topology rail_optimised).
enum class RailPath : std::uint8_t {
    own,        ///< every unit reaches every other alike: no rails
    forwarded,  ///< to the neighbour on that rail first, who sends them (PXN of NCCL 2.12)
    spine       ///< through the switches that join the rails, which may be oversubscribed
};
/// The faster for an alltoall of `bytes`, and a message by it through the outermost level.
RailPath alltoall_path(double bytes, const std::vector<NetworkLevel>& levels, const std::vector<Link>& links);
Link rail_link(RailPath path, const std::vector<NetworkLevel>& levels, const std::vector<Link>& links);
/// Seconds that one message to another rail takes longer than one to its own; 0 without rails.
double other_rail_hop(const std::vector<NetworkLevel>& levels, double inner_hop);

/// Seconds from the first message to the last, `links` beside `levels`, all ranks starting together and nothing else on
/// the way: what an emulation of the messages meets within 5 % (tests/models/collective_time_test.cpp). Not for nvls,
/// double_tree and nvlstree, whose laws are fitted as a whole.
double messages_seconds(CollectiveAlgorithm algorithm, CollectiveKind kind, double bytes,
                        const std::vector<NetworkLevel>& levels, const std::vector<Link>& links);

/// Bytes that the busiest rank sends so.
double bytes_sent(CollectiveAlgorithm algorithm, CollectiveKind kind, double bytes, int ranks);

}  // namespace wb::cluster
