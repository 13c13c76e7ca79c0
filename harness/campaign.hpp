#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "harness/archive.hpp"
#include "harness/environment.hpp"
#include "harness/experiment.hpp"
#include "harness/run.hpp"
#include "harness/runner.hpp"
#include "harness/signals.hpp"

namespace wb {

/// One call of `run`: begin, work, end, each collective over all ranks. Rank 0 keeps the archive and speaks to the
/// user.
class Campaign {
public:
    Campaign(const RunOptions& options, const Experiment& experiment, std::vector<PlannedCase> plan,
             const BackendSet& backends, Comm& comm, int threads);

    /// Opens the archive, looks at the machine and finds out what is left to do. Throws Error on all ranks.
    void begin();
    /// Runs the cases; every finished one is in the journal before the next begins. Throws Error (io) on all ranks.
    void work();
    /// Publishes and shows. Returns the same code on every rank; rank 0 has said why.
    Exit end();

private:
    bool root() const { return comm_.rank() == 0; }
    void open();
    void keep(const PlannedCase& planned, Result& result);
    static Result lost(Runner& runner, PlannedCase planned);
    void show(const ResultSet& mine) const;
    Exit code(const ResultSet& mine) const;

    const Signals signals_;
    const RunOptions& options_;
    const Experiment& experiment_;
    std::vector<PlannedCase> plan_;
    const BackendSet& backends_;
    Comm& comm_;
    int threads_;
    int cpus_ = 0, ranks_on_node_ = 1;
    std::string code_ = code_fingerprint();
    std::optional<Archive> archive_;
    RunInfo info_;
    Environment before_;
    std::set<std::string> done_;  // full keys the archive holds
    std::set<std::string> lost_;  // full keys of cases whose job died with them
    std::vector<const PlannedCase*> todo_;
    std::vector<std::string> failures_;
    Stop stop_ = Stop::none;
};

}  // namespace wb
