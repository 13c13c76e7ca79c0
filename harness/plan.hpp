#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/backend.hpp"
#include "harness/dataset.hpp"
#include "harness/experiment.hpp"
#include "harness/prompt.hpp"

namespace wb {

/// One row of the plan: a case, or why it cannot be built.
struct PlannedCase {
    Case c;
    std::string label;  ///< short: workload and the parameters the experiment names
    const Backend* backend = nullptr;
    Kind kind = Kind::measured;
    std::string refused;                      ///< not empty: skipped, with this reason
    std::shared_ptr<TokenSource> tokens;      ///< what it trains on, or is asked, where it names data or a prompt
    std::shared_ptr<const Prompt> prompt;     ///< of a generation that names one
    std::optional<Band> band;                 ///< of what a model says, from its errors against published measurements
    std::map<std::string, Band> phase_bands;  ///< of a composed workload, by phase
    bool judged_whole = false;                ///< its own band counts; else that of the whole follows from its phases
};

/// Which backends exist in this build.
class BackendSet {
public:
    BackendSet();
    const Backend* find(const std::string& name) const;
    /// Throws Error for a name that is unknown or was not built.
    const Backend& require(const std::string& name, const std::string& where) const;
    /// Those not on request; where an experiment names a mesh, simulators too.
    std::vector<std::string> default_names(bool mesh = false) const;

private:
    std::vector<std::pair<std::string, std::unique_ptr<Backend>>> built_;
};

/// Expands an experiment into cases, in a fixed order. `filter` keeps the cases whose key contains all its words: whole
/// ones where they hold a '=' ("m=32"), else parts; one begun with '-' must not occur. `ranks` run together on this
/// machine. Building a graph costs no tensor memory.
std::vector<PlannedCase> expand(const Experiment& e, const Files& files, const BackendSet& backends, int ranks,
                                const std::string& filter);

}  // namespace wb
