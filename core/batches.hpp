#pragma once

#include <cstdint>
#include <vector>

#include "core/comm.hpp"
#include "core/graph.hpp"
#include "core/player.hpp"
#include "core/storage.hpp"

namespace wb {

/// Tokens of one split in memory, cut into sequences one after the other; past the end they begin again.
class Batches {
public:
    /// Reads what `batches` batches of the sequences of `graph` need, each rank a part that all then have. Collective.
    /// Throws Error if the split is shorter than one sequence and the token that follows it, or holds ids that the
    /// graph has no embedding for.
    static Batches read(Storage& from, Split split, Comm& comm, std::int64_t batches, const Graph& graph);

    struct Batch {
        std::vector<std::int32_t> tokens, targets;  ///< [batch * seq]; a target is the token after
    };
    Batch at(std::int64_t number) const;
    /// The next run of `player` reads batch `number`.
    void feed(Player& player, std::int64_t number) const;
    Bytes bytes() const { return Bytes(4.0 * static_cast<double>(ids_.size())); }

private:
    std::vector<std::int32_t> ids_;
    std::int64_t batch_ = 1, seq_ = 1;
};

}  // namespace wb
