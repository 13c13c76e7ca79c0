#pragma once

#include <memory>

#include "core/backend.hpp"
#include "core/partition.hpp"
#include "models/emulation/program.hpp"
#include "models/steps.hpp"

namespace wb::emulation {

bool is_bare_collective(const Graph& graph);
/// Of the buffer that a bare collective works on: what is gathered counts whole (nccl-tests).
double buffer_bytes(const Graph& graph);
/// The part of tensor rank 0, as the closed form cuts it.
Partition local_part(const Case& c);

/// What the units of a case do: a model goes through the schedule of its mapping, a bare collective is one step.
StageSteps steps_of(const Case& c);
Program program_of(const Case& c, const StageSteps& steps);

std::unique_ptr<Session> make_session(const Case& c, Comm& comm);

}  // namespace wb::emulation
