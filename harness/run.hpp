#pragma once

#include <string>
#include <vector>

#include "core/comm.hpp"
#include "core/error.hpp"
#include "core/workload.hpp"
#include "harness/experiment.hpp"
#include "harness/show.hpp"

namespace wb {

struct RunOptions {
    std::string experiment;  ///< file, or the name of one in configs/experiments
    std::string output;      ///< results file; empty: results/<name>-<date>.h5
    std::string filter;
    std::string mapping;               ///< "tp8 pp8": forced on every cluster; empty: as the file says
    std::vector<std::string> set;      ///< "protocol.min_time=0.5 s"
    std::vector<std::string> configs;  ///< the user's folders, for the line that repeats a failed case
    bool resume = false;               ///< skip what the journal already holds
    bool oversubscribe = false;
    bool measure_again = false;  ///< the host's own figures, even if they are known
    double budget_s = 0;         ///< stop starting cases after this long; 0 = never
    Format format = Format::terminal;
    bool wide = false, quiet = false;
    std::string command;  ///< as typed, for the record
};

/// The experiment a name or path stands for, overrides applied. Collective.
Experiment load_experiment(const RunOptions& options, const Files& files, Comm& comm);

/// Plans, runs, journals, publishes and shows. Collective; the same exit code on every rank.
Exit run_experiment(const RunOptions& options, const Files& files, Comm& comm);

/// Threads of this rank where an experiment does not say: its share of the CPUs it may use.
int default_threads(Comm& comm);

}  // namespace wb
