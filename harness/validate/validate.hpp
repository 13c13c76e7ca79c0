#pragma once

#include <string>
#include <vector>

#include "core/comm.hpp"
#include "core/error.hpp"
#include "core/workload.hpp"
#include "harness/show.hpp"

namespace wb {

struct ValidateOptions {
    std::vector<std::string> points;      ///< further files of points
    bool points_only = false;             ///< without configs/validation/*.csv
    std::string group, system, workload;  ///< only rows of these; "prefix*" matches many
    std::vector<std::string> backends;    ///< empty: every built one that is modelled, simulated or emulated
    std::string csv, json, out;           ///< files to write; empty: none
    std::string budget = "5 s";           ///< of one simulated case
    bool update_bands = false, quiet = false;
    Format format = Format::terminal;
    bool colour = false;
};

/// Judges backends by published measurements: predicts, prints and writes, and holds the errors to the gates. Exit
/// code 2 where a gate is exceeded. Collective.
Exit validate(const ValidateOptions& options, const Files& files, Comm& comm);

}  // namespace wb
