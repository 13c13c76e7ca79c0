#pragma once

#include <string>

#include "harness/show.hpp"

namespace wb {

/// The warning of a result whose ranks of one node, with their threads, were more than its processors; empty if they
/// were not.
std::string crowd_warning(int ranks, int threads, int cpus);
/// Whether a result has it.
bool is_crowded(const Result& r);

/// How measured cases scale with ranks, and with threads where an experiment names their number: a section for each
/// workload that ran on several numbers of them with the same work (strong scaling) or with the same work for each
/// (weak scaling), a row for each number with its efficiency: work done a second and rank, or thread, beside that of
/// the fewest. Empty if nothing ran so.
std::string show_scaling(const ResultSet& set, Format format, bool colour, const std::string& filter = "");

}  // namespace wb
