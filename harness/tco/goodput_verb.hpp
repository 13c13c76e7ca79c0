#pragma once

#include "harness/validate/verbs.hpp"

namespace wb {

/// Adds `goodput`: what failures leave of a job's time, from one unit to 100,000.
void define_goodput_verb(CLI::App& app, const VerbContext& context);

}  // namespace wb
