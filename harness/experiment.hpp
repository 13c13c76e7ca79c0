#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/case.hpp"
#include "core/config.hpp"
#include "core/emulation.hpp"
#include "core/workload.hpp"
#include "harness/mesh_choice.hpp"

namespace wb {

/// One machine of an experiment, as asked for.
struct SystemChoice {
    std::shared_ptr<const System> system;
    std::vector<std::string> backends;                      ///< empty: every built backend that is not on request
    std::vector<std::string> workloads;                     ///< the only ones it takes part in; empty: all
    std::vector<std::pair<std::string, std::string>> only;  ///< parameters of the only points it takes part in
    std::vector<std::int64_t> units;
    std::vector<MeshChoice> meshes;       ///< empty: the backend's choice
    std::vector<std::string> algorithms;  ///< empty: the backend's choice
    std::optional<Mapping> mapping;       ///< how models spread it; nothing: the backend's choice
    bool units_named = false;             ///< else a mapping says how many
    EmulationChoice emulation;
    int threads = 0;
    std::string where;  ///< file:line:column
};

/// One workload of an experiment: the points its axes span.
struct WorkloadChoice {
    const Workload* workload;
    std::vector<Params> points;      ///< complete, in the order the axes are written, last axis fastest
    std::vector<std::string> shown;  ///< parameters the experiment names: what tables show
    std::string where;
};

/// An experiment file, read strictly.
struct Experiment {
    std::string name, title, file, text;
    std::uint64_t seed = 1;
    Protocol protocol;
    std::vector<SystemChoice> systems;
    std::vector<WorkloadChoice> workloads;
};

/// How the experiment file finds machines; "host" is this machine, however it is described.
using SystemLoader = std::function<std::shared_ptr<const System>(const std::string& id,
                                                                 const std::map<std::string, std::string>& choices)>;

/// Makes every cluster of the experiment use this mapping, `text` as Mapping::text() writes it, and as many units as it
/// takes where the file names none. Throws Error if the text is none or no system is a cluster.
void force_mapping(Experiment& experiment, const std::string& text);

Experiment read_experiment(const Config& config, const SystemLoader& load);

/// The values of one axis: a scalar, a list, or "range(1024, 8192, x2)" / "range(0, 10, +5)", ends included.
std::vector<ParamValue> axis_values(const Value& value);

}  // namespace wb
