#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/op.hpp"

namespace wb {

/// A tokenised text as a run reads it.
struct Dataset {
    std::string name, hash;  ///< hash of the text and of how it was cut into tokens
    std::int64_t vocabulary = 0, training = 0, held_out = 0;
    std::string how;  ///< what reads it: "parallel HDF5"
};

/// This rank's part of a tensor that outlives a run. Instances lie `stride` bytes apart; within one, this rank holds
/// [first, first + local[dim]) of dimension `dim` of `whole`.
struct StoredPiece {
    std::string name;
    DType dtype = DType::f32;
    std::int64_t instances = 1;
    Shape whole, local;
    int dim = 0;
    std::int64_t first = 0;
    std::byte* data = nullptr;
    std::int64_t stride = 0;

    bool cut() const { return whole != local; }
};

/// What a checkpoint says beside its tensors: series such as "loss" and "seconds".
struct Snapshot {
    std::int64_t step = 0;
    std::map<std::string, std::vector<double>> notes;
    std::string remark;  ///< empty, or what was wrong with a newer one
};

enum class Split : std::uint8_t { training, held_out };

/// What outlives a run. All calls are collective over the ranks of the case but dataset(); every one throws Error.
class Storage {
public:
    virtual ~Storage() = default;
    /// Null: tokens are hashed, see Fill.
    virtual const Dataset* dataset() const = 0;
    /// Token ids [first, first + to.size()) of a split; each rank its own range, which may be empty.
    virtual void read_tokens(Split split, std::int64_t first, std::span<std::int32_t> to) = 0;
    /// Writes a checkpoint so that one of this and its predecessor is whole at any moment. Returns its bytes.
    virtual std::int64_t save(const Snapshot& snapshot, std::span<const StoredPiece> pieces) = 0;
    /// The newest checkpoint that is whole, where the run is to go on from one.
    virtual std::optional<Snapshot> newest() = 0;
    /// Its tensors, whatever the ranks that wrote them. Returns the bytes read by all ranks.
    virtual std::int64_t restore(std::int64_t step, std::span<const StoredPiece> pieces) = 0;
};

}  // namespace wb
