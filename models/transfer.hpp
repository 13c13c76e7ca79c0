#pragma once

#include <string>
#include <vector>

#include "core/graph.hpp"
#include "core/measurement.hpp"
#include "core/system.hpp"

namespace wb {

/// True if a graph only moves data between storage, host and units, or compiles: no arithmetic, no messages.
bool only_moves(const Graph& graph);

/// What such a graph takes on `units` units, operators one after the other. Bytes are those of the whole workload:
/// replicas read and write one copy.
///   read, write: bytes / (storage bandwidth of a node x nodes)
///   load:        start of a program's weights + bytes / (link of a unit to its host x units)
///   load of one of N models alike that a request picks at random: nothing for those that fit the fast memory, else
///                from the next tier of the unit where it has one (tier_link of [node]), else from the host
///   compile:     start + per unit x units + per operator x operators
/// Links and storage are facts of [node] (host_link, storage, storage_write); what a framework reached is fitted and
/// comes first ([fitted] read_bandwidth, write_bandwidth, load_bandwidth, load_start_time, compile_start_time,
/// compile_unit_time, compile_operator_time).
struct Transfer {
    double seconds = 0;
    std::vector<Span> spans;  ///< resource "storage", "host link" or "compiler"; by kind
    Bytes stored, loaded;     ///< from and to storage; to the units
};
/// `bound`: only what no program can beat: data-sheet rates, no start, compilation for nothing.
Transfer transfer(const Graph& graph, const System& system, int units, bool bound = false);

/// What the system file does not know and the graph needs; empty if it knows all.
std::string missing_transfer(const Graph& graph, const System& system);

}  // namespace wb
