#pragma once

#include <cstdint>
#include <vector>

#include "core/comm.hpp"
#include "core/storage.hpp"

namespace wb::cpu {

/// Tokens of one split in memory, cut into sequences one after the other; past the end they begin again.
class Batches {
public:
    /// Reads what `batches` batches of `batch` sequences of `seq` tokens need, each rank a part that all then have.
    /// Collective. Throws Error if the split is shorter than one sequence and the token that follows it, or holds ids
    /// that are not below `vocabulary`.
    static Batches read(Storage& from, Split split, Comm& comm, std::int64_t batches, std::int64_t batch,
                        std::int64_t seq, std::int64_t vocabulary);

    struct Batch {
        std::vector<std::int32_t> tokens, targets;  ///< [batch * seq]; a target is the token after
    };
    Batch at(std::int64_t number) const;
    Bytes bytes() const { return Bytes(4.0 * static_cast<double>(ids_.size())); }

private:
    std::vector<std::int32_t> ids_;
    std::int64_t batch_ = 1, seq_ = 1;
};

}  // namespace wb::cpu
