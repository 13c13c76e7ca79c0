#pragma once

#include <string>
#include <vector>

#include "core/comm.hpp"
#include "core/error.hpp"
#include "core/workload.hpp"
#include "harness/show.hpp"

namespace wb {

struct FitOptions {
    std::vector<std::string> systems;  ///< only fits of these systems; empty: all
    std::vector<std::string> points;   ///< further files of points
    std::string budget = "20 s";       ///< of one simulated case
    bool write = false;                ///< put the values into the system files
    Format format = Format::terminal;
    bool colour = false;
};

/// Derives every fitted constant of the systems anew and compares with what their files say. Exit code 2 where a
/// constant that is called fitted is derived by no entry of configs/validation/fits.toml. Collective.
Exit fit(const FitOptions& options, const Files& files, Comm& comm);

}  // namespace wb
