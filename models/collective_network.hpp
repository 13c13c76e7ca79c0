#pragma once

#include <string>
#include <vector>

#include "core/system.hpp"

namespace wb::cluster {

/// One level of the network as the ranks of a collective see it.
struct NetworkLevel {
    const Fabric* fabric = nullptr;
    int ranks = 1;     ///< that this level and those inside it join
    double rate = 0;   ///< bytes/s a rank can send through it while all ranks do
    double spine = 0;  ///< rail_optimised: bytes/s a rank can send to other rails while all do; else 0
    double port = 0;   ///< bytes/s of one message that has the level to itself
    int rings = 1;     ///< inner ranks through each of whose ports a library lays a ring: all, or one of lone nodes
    double links = 1;  ///< topology ring, mesh, torus: dimensions, along each of which a rank has two neighbours
    std::string constants;  ///< prefix of its keys in [fitted]: "" innermost, "node_" outermost, "board_" between
};

/// Units that the innermost fabric joins.
int domain_units(const System& system);

/// Whether a unit can hand a message to the neighbour on the rail it is for: all are joined by switch or mesh.
bool forwards(const NetworkLevel& inner);

/// Whether a node is one unit: between them goes an MPI.
bool is_of_lone_nodes(const System& system);

/// Levels from the innermost to the one that joins all `ranks`, of which `per_domain` are neighbours in one innermost
/// fabric (0: as many as fit). In a full mesh of N units g ranks have g - 1 of N - 1 links each; one message has one.
/// Throws Error that says how many units the outermost fabric joins if these are too few, or that a bandwidth is
/// missing.
std::vector<NetworkLevel> network_levels(const System& system, int ranks, int per_domain = 0);

/// Extents of the box of `ranks` units that lies most evenly in so many dimensions, largest first.
std::vector<int> box(int ranks, int dimensions);

}  // namespace wb::cluster
