#pragma once

#include <string>

#include "harness/show.hpp"

namespace wb {

/// How measured cases scale with ranks, and with threads where an experiment names their number: a section for each
/// workload that ran on several numbers of them with the same work (strong scaling) or with the same work for each
/// (weak scaling), a row for each number with its efficiency: work done a second and rank, or thread, beside that of
/// the fewest. Empty if nothing ran so.
std::string show_scaling(const ResultSet& set, Format format, bool colour, const std::string& filter = "");

}  // namespace wb
