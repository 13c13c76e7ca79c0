#include "models/steps.hpp"

#include "core/error.hpp"

namespace wb {

StageSteps bare_collective(CollectiveKind operation, double bytes, int units, std::string algorithm) {
    WB_EXPECT(units >= 1);
    Step step;
    step.kind = Step::Kind::collective;
    step.phase = name(operation);
    step.bytes = bytes;
    step.operation = operation;
    step.algorithm = std::move(algorithm);
    StageSteps all;
    all.mapping.tensor = units;
    all.stages = {{step}};
    return all;
}

int extent(const Mapping& m, Axis axis) {
    switch (axis) {
        case Axis::tensor: return m.tensor;
        case Axis::context: return m.context;
        case Axis::expert: return m.expert;
        case Axis::data: return m.data;
        case Axis::replicas: return m.data * m.expert * m.context;
        case Axis::expert_replicas: return m.data * m.context;
    }
    throw ContractError("unknown axis");
}

namespace {

/// Units between neighbours along an axis that is contiguous in the numbering.
int stride(const Mapping& m, Axis axis) {
    switch (axis) {
        case Axis::tensor: return 1;
        case Axis::expert: return m.tensor * m.context;
        case Axis::data: return m.tensor * m.context * m.expert;
        default: return m.tensor;
    }
}

}  // namespace

int member(const Mapping& m, Axis axis, int unit, int i) {
    if (axis == Axis::expert_replicas) {
        const int same = member(m, Axis::data, unit, i / m.context);
        return member(m, Axis::context, same, i % m.context);
    }
    return unit + (i - place(m, axis, unit)) * stride(m, axis);
}

int place(const Mapping& m, Axis axis, int unit) {
    if (axis == Axis::expert_replicas) return place(m, Axis::data, unit) * m.context + place(m, Axis::context, unit);
    return unit / stride(m, axis) % extent(m, axis);
}

}  // namespace wb
