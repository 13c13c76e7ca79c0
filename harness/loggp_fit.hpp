#pragma once

#include <string>
#include <vector>

#include "harness/network_probe.hpp"

namespace wb {

/// One straight piece of what a message takes: start_s + bytes x byte_s from `from_bytes` on.
struct MessagePiece {
    double from_bytes = 0, start_s = 0, byte_s = 0;
};

/// LogGP (Alexandrov et al. 1995): latency L, overhead o, gap g between messages, gap G a byte. The last is one for
/// each protocol of the library, found where more lines fit the time of a message better than one (Hoefler et al.,
/// "Low-Overhead LogGP Parameter Assessment for Modern Interconnection Networks", IPDPS 2007).
struct LogGP {
    double latency_s = 0, send_overhead_s = 0, receive_overhead_s = 0, gap_s = 0;
    std::vector<MessagePiece> pieces;  ///< of half a ping-pong; 1 to 3: eager, rendezvous, beyond the caches

    double overhead_s() const { return (send_overhead_s + receive_overhead_s) / 2; }
};

/// Straight lines through (bytes, seconds), ascending, that err least relative to the seconds; another one, up to
/// three, where those err by more than 3 % in the mean and it leaves less than half of their squares. At least three
/// points a line.
std::vector<MessagePiece> fit_pieces(const std::vector<double>& bytes, const std::vector<double>& seconds);

LogGP fit_loggp(const NetworkFigures& figures);

}  // namespace wb
