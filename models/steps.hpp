#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/mapping.hpp"
#include "core/op.hpp"

namespace wb {

/// Units that a collective joins: those that differ in these coordinates only.
enum class Axis : std::uint8_t {
    tensor,
    context,
    expert,
    data,
    replicas,        ///< data x expert x context: what holds the same dense weights
    expert_replicas  ///< data x context: what holds the same experts
};

/// One thing a unit does. It begins when the step before it is done.
struct Step {
    enum class Kind : std::uint8_t {
        compute,    ///< `seconds` of kernels
        send,       ///< `bytes` to the unit of stage `peer` with the same other coordinates; does not wait for arrival
        receive,    ///< waits for the message of stage `peer` with this tag
        collective  ///< `operation` among the units of `axis`, each with a buffer of `bytes` as nccl-tests counts it
    } kind = Kind::compute;
    std::string phase;   ///< "forward", "backward", "update", "gradients": what a timeline calls it
    double seconds = 0;  ///< compute
    double bytes = 0;
    bool far = false;        ///< send: to another domain
    int peer = -1, tag = 0;  ///< a tag names one message of a pair of stages and a direction
    Axis axis = Axis::tensor;
    CollectiveKind operation = CollectiveKind::none;
    std::string algorithm;           ///< of a collective; empty: as a library would choose
    double exposed = 1;              ///< share of a message's or collective's time that is not hidden behind compute
    int microbatch = -1, chunk = 0;  ///< of a pipeline; chunk < Mapping::virtual_stages
};

/// What every unit of a mapping does. All units of a pipeline stage do the same, in the same order; unit
/// ((((stage x data + d) x expert + e) x context + c) x tensor + t) has the coordinates stage, d, e, c, t, so that
/// tensor ranks are neighbours in one scale-up domain.
struct StageSteps {
    Mapping mapping;
    std::vector<std::vector<Step>> stages;  ///< one list for each pipeline stage
};

/// A collective among all `units`, and nothing else.
StageSteps bare_collective(CollectiveKind operation, double bytes, int units, std::string algorithm = "");

/// Extent of an axis of a mapping: units a collective along it joins.
int extent(const Mapping& mapping, Axis axis);
/// Unit `i` of the group that `unit` belongs to, i < extent(mapping, axis).
int member(const Mapping& mapping, Axis axis, int unit, int i);
/// The place of `unit` in its group: member(mapping, axis, unit, place(...)) == unit.
int place(const Mapping& mapping, Axis axis, int unit);

}  // namespace wb
