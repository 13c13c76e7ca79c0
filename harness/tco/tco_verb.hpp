#pragma once

#include "harness/validate/verbs.hpp"

namespace wb {

/// Adds `tco`: what stored results cost.
void define_tco_verb(CLI::App& app, const VerbContext& context);

}  // namespace wb
