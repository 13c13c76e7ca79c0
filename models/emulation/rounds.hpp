#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/op.hpp"

namespace wb::emulation {

/// How a collective is played as messages. Every algorithm is a list of rounds in which a unit sends at most one
/// message and then receives at most one.
enum class Algorithm : std::uint8_t {
    ring,                ///< n - 1 rounds a pass, one block to the next neighbour (Patarasuk and Yuan 2009)
    recursive_doubling,  ///< whole buffers between partners at doubling distances (Thakur et al. 2005)
    halving_doubling,    ///< blocks at halving, then doubling distances, for any n (Bruck et al. 1997)
    dissemination,       ///< whole buffers to the unit 2^k further (Hensgen et al. 1988)
    tree,                ///< binomial tree; allreduce: to the root and back
    chain,               ///< broadcast in chunks from neighbour to neighbour
    pairwise,            ///< alltoall: round k exchanges with the units k away
    direct               ///< a part of others: every unit's block straight to all others at once (Kim et al. 2008)
};
std::string_view name(Algorithm algorithm);
/// Throws Error naming the known ones, nearest first.
Algorithm algorithm_from_name(const std::string& text);
std::vector<std::string> algorithm_names();
/// Whether that operation can be played so.
bool plays(CollectiveKind operation, Algorithm algorithm);

/// One collective of n units, each holding a buffer cut into `blocks` blocks.
struct Collective {
    CollectiveKind operation = CollectiveKind::allreduce;
    Algorithm algorithm = Algorithm::ring;
    int units = 1;
    int blocks = 1;
    int rounds = 0;
    int inner = 1;  ///< pairwise: units of a domain, whose number divides that of all
    int ahead = 0;  ///< pairwise, direct: messages sent before the first is waited for
};
/// `chunks` of a chain; pairwise: messages under way at once; ignored by the others.
Collective collective_of(CollectiveKind operation, Algorithm algorithm, int units, int chunks = 1);

/// Blocks [first, first + count), modulo the number of blocks.
struct Blocks {
    int first = 0, count = 0;
};

/// What the unit at `place` of the group does in one round; a partner of -1 means none. What arrives is added to the
/// blocks that lie there, or put in their place.
struct Round {
    int to = -1, from = -1;
    Blocks send, receive;
    bool add = false;
};
Round round_of(const Collective& c, int place, int k);

}  // namespace wb::emulation
