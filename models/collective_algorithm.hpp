#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/op.hpp"
#include "models/collective_network.hpp"

namespace wb::cluster {

/// How a collective of a cluster goes through its network. Equations and sources: docs/models.md.
enum class CollectiveAlgorithm : std::uint8_t {
    ring,                ///< one block to the next neighbour, n - 1 times a pass (Patarasuk and Yuan 2009)
    recursive_doubling,  ///< whole buffers between partners at doubling distances (Thakur et al. 2005)
    halving_doubling,    ///< blocks at halving, then doubling distances (Rabenseifner 2004; any n: Bruck et al. 1997)
    dissemination,       ///< whole buffers to the rank 2^k further (Hensgen et al. 1988)
    tree,                ///< binomial, whole buffers; allreduce: to the root and back
    chain,               ///< broadcast in chunks from neighbour to neighbour
    pairwise,            ///< alltoall: a message to every other rank
    nvls,                ///< added up in the switch of one domain
    double_tree,         ///< two binary trees over the domains, pipelined (Sanders et al. 2009); as libraries have it
    nvlstree,            ///< the same, each domain adding up in its switch
    hierarchical,        ///< scattered in every domain, shards halved and doubled between them, gathered
    torus,               ///< ring after ring along the dimensions, all of them at once (Jain and Sabharwal 2010)
    dragonfly            ///< scattered in every group, shards straight to all other groups (Kim et al. 2008), gathered
};
std::string_view name(CollectiveAlgorithm algorithm);
/// Throws Error naming the known ones, nearest first.
CollectiveAlgorithm collective_algorithm(const std::string& text);
std::vector<std::string> collective_algorithm_names();

/// Whether that operation can be done so on any network.
bool does(CollectiveAlgorithm algorithm, CollectiveKind operation);
/// Throws Error that says why these levels cannot do it so, and what can.
void expect_lawful(CollectiveAlgorithm algorithm, CollectiveKind operation, const System& system,
                   const std::vector<NetworkLevel>& levels);

}  // namespace wb::cluster
