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

/// Seconds from the first message to the last, `links` beside `levels`, all ranks starting together and nothing else on
/// the way: what an emulation of the messages meets within 5 % (tests/models/collective_time_test.cpp). Not for nvls,
/// double_tree and nvlstree, whose laws are fitted as a whole.
double messages_seconds(CollectiveAlgorithm algorithm, CollectiveKind kind, double bytes,
                        const std::vector<NetworkLevel>& levels, const std::vector<Link>& links);

/// Bytes that the busiest rank sends so.
double bytes_sent(CollectiveAlgorithm algorithm, CollectiveKind kind, double bytes, int ranks);

}  // namespace wb::cluster
