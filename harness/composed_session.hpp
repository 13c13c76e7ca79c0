#pragma once

#include <memory>

#include "core/backend.hpp"

namespace wb {

// A backend's answer to a case. A composed workload goes to a backend whole if it composes(), else phase by phase:
// where no mapping is named, the phase with the most arithmetic chooses one, and the others keep it where they can.

Support supports(const Backend& backend, const Case& c, int ranks);
/// Collective over `comm`. A run of a measured composition runs every phase as often as it says; elsewhere a phase that
/// repeats is run once and counted as often.
std::unique_ptr<Session> prepare(const Backend& backend, const Case& c, Comm& comm);

/// The case of one phase alone.
Case case_of(const Case& whole, const std::shared_ptr<const Graph>& phase);

}  // namespace wb
