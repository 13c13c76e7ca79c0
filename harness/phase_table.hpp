#pragma once

#include <string>

#include "harness/show.hpp"

namespace wb {

/// For each composed workload, systems side by side: a row for each system and backend, a column for each phase with
/// its time and share, and the phase that decides. Empty if no result has phases.
std::string show_phases(const ResultSet& set, Format format, bool colour, const std::string& filter = "");

/// A row for each phase: time, spread over ranks, share, memory, communication, energy, bound, band, traffic and what
/// limits it; then a row for each collective of a phase.
std::string show_phase_details(const ResultSet& set, Format format, bool colour, const std::string& filter = "");

}  // namespace wb
