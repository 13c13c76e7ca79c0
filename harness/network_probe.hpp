#pragma once

#include <string>
#include <vector>

#include "core/comm.hpp"

namespace wb {

/// One pattern of messages at one size.
struct NetworkPoint {
    std::string pattern;
    double bytes = 0;
    std::vector<double> rounds_s;  ///< of one message or collective: the slowest rank's lower quartile in each round
    /// Of the least disturbed round: on a machine that others use the median is theirs.
    double seconds() const;
};

/// What MPI takes between the ranks of a job, each pattern with all ranks taking part, as the OSU micro-benchmarks
/// define them (latency, bandwidth, bidirectional bandwidth, collectives; OSU 7), and overheads as parametrised LogP
/// does (Kielmann et al. 2000). Sizes are buffers as nccl-tests counts them.
struct NetworkFigures {
    int ranks = 1;
    std::string library;
    std::vector<NetworkPoint> points;

    /// Seconds; nothing measured: throws ContractError.
    double at(const std::string& pattern, double bytes) const;
    std::vector<double> sizes(const std::string& pattern) const;
};

/// Patterns: "latency" (half a ping-pong), "bandwidth" (a message of a window one way), "bidirectional" (the same both
/// ways), "send_overhead", "receive_overhead", "one_way" (from the first of a pair, as collectives begin: together),
/// "exchange" (around the ring), "add", "copy" (in a rank),
/// "fresh_exchange" (of what was just written), "fresh_copy" (to where a neighbour has just read), "barrier" and the
/// collectives by their names; sizes from 8 bytes to `largest_bytes` (at least 4 KiB). Collective; at least two
/// ranks; takes about `budget_s`, more where ranks wait for processors: every point is measured twice at least. The
/// points are rank 0's.
NetworkFigures probe_network(Comm& comm, double budget_s, double largest_bytes);

}  // namespace wb
