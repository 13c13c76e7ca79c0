#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/emulation.hpp"
#include "core/mapping.hpp"
#include "models/emulation/rounds.hpp"
#include "models/steps.hpp"

namespace wb::emulation {

using Time = std::int64_t;  ///< ps; integers add up alike in any order
constexpr Time never = INT64_MAX;
Time picoseconds(double seconds);

/// LogGP (Alexandrov et al. 1995): a unit is busy for `overhead` at either end of a message, a port takes one message
/// every `gap` + (bytes - 1) x byte time, the first byte travels for `latency`.
struct Wire {
    Time latency = 0, overhead = 0, gap = 0;
    double byte_time = 0;  ///< ps for one byte after the first
    bool shared = false;   ///< leaves the domain: through its uplink, where it has one
    Time hold = 0;         ///< that its sender goes on later, waiting for nobody
};

/// Members of a group lie `stride` apart in the numbering of units, in runs of `inner` that lie `outer` apart.
struct Group {
    int base = 0, place = 0, units = 1;
    int inner = 1, stride = 1, outer = 0;
    int unit(int i) const { return i < inner ? base + i * stride : base + i % inner * stride + i / inner * outer; }
};

/// A step as the engine plays it.
struct Play {
    Step::Kind kind = Step::Kind::compute;
    Time time = 0;           ///< compute: of the kernels; collective: before the first message
    std::int64_t bytes = 0;  ///< of the message or buffer
    int peer = -1, tag = 0;  ///< a stage
    Wire wire;               ///< of messages; those that stay in a domain go by `near` where it is given
    std::optional<Wire> near;
    Axis axis = Axis::tensor;
    int skip = 1;    ///< the group is every skip-th unit of the axis ...
    int inside = 0;  ///< ... or, if not 0, so many neighbours along it
    int shards = 1;  ///< the group works on one part of the buffer: that of the unit's place among so many
    Collective collective;
    CollectiveKind operation = CollectiveKind::none;  ///< of the step, which several collectives may make up ...
    bool begins = true, ends = true;                  ///< ... of which this is the first, the last
    int step = 0;                                     ///< of the stage's list, for the timeline
};

/// A play of a step, without what its messages cost.
Play begun(const Step& step);

/// Compiled steps of all stages.
struct Program {
    Mapping mapping;
    int units = 1;
    std::vector<std::vector<Play>> stages;
    int domain = 1;  ///< units of the innermost fabric
    /// So many units share one way out and one way in, `uplink_byte_time` ps a byte; 0: none is shared.
    int uplink_units = 1;
    double uplink_byte_time = 0;
    std::int64_t element_bytes = 1;  ///< blocks of a buffer hold whole elements
    Payload payload = Payload::none;
    bool stamped = false;    ///< payload full: nobody lays out buffers, they are filled with stamps and checked
    std::uint64_t seed = 1;  ///< of stamps
    std::vector<Fault> faults;
    int stage_of(int unit) const { return unit / (units / static_cast<int>(stages.size())); }
};

Group group_of(const Mapping& mapping, const Play& play, int unit);

/// Bytes [at, at + bytes) of a buffer.
struct Region {
    std::int64_t at = 0, bytes = 0;
};
/// The part of the step's buffer that a unit's collective works on.
Region shard_of(const Program& program, const Play& play, int unit);
/// The block that is the unit's own in it: what it gathers from, or is left with.
Region own_block(const Program& program, const Play& play, int unit);

/// First byte of block i of a buffer.
inline std::int64_t block_start(std::int64_t bytes, std::int64_t element_bytes, int blocks, int i) {
    return bytes / element_bytes * i / blocks * element_bytes;
}

}  // namespace wb::emulation
