#pragma once

#include "core/system.hpp"
#include "harness/validate/verbs.hpp"

namespace wb {

/// Adds `network`: MPI between the ranks of this job measured, fitted and stored as the system "host-network".
void define_network_verb(CLI::App& app, const VerbContext& context);

}  // namespace wb
