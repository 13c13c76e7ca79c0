#pragma once

#include <string>

#include "harness/result.hpp"

namespace wb {

enum class Format { terminal, markdown, csv, json, latex };

/// The comparison: a section for each workload, a row for each system and backend, every number with its kind.
/// `wide` adds verification, memory, communication and detail.
std::string show_results(const ResultSet& set, Format format, bool colour, bool wide = false,
                         const std::string& filter = "");

/// "0.87x..1.12x": what a real time may be, as factors of this number; "unknown" where nothing judged the model; empty
/// for measurements and bounds.
std::string band_text(const Measurement& m);

/// One line on what happened: counts by status, and what failed with its reproducer.
std::string summary_line(const ResultSet& set);

}  // namespace wb
