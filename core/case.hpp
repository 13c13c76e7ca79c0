#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/emulation.hpp"
#include "core/graph.hpp"
#include "core/mapping.hpp"
#include "core/params.hpp"
#include "core/quantity.hpp"
#include "core/storage.hpp"
#include "core/system.hpp"

namespace wb {

/// How a case is sampled.
struct Protocol {
    int warmup = 1;
    int min_samples = 5, max_samples = 1000;
    Seconds min_time{0.1};    ///< keep sampling at least this long
    Seconds timeout{60};      ///< stop sampling a case after this long
    double max_noise = 0.03;  ///< good enough: width of the median's 95 % interval over the median
    bool verify = true;
    bool brief = false;  ///< the time is all that is asked for: models leave out what would explain it
    Seconds case_limit{
        3600};  ///< a case that takes longer, verification included, is taken for hanging and ends the job
};

/// graph x system x mapping x protocol: one cell of an experiment.
struct Case {
    std::string key;  ///< workload, parameters, system, options, backend, mapping: what makes it this case
    std::string workload;
    Params params;
    std::shared_ptr<const Graph> graph;  ///< dtype classes resolved for this system
    std::shared_ptr<const Graph> small;  ///< the same workload at a size the reference can judge; may be `graph` itself
    std::string small_text;              ///< what was reduced, empty if nothing
    std::shared_ptr<const System> system;
    std::string backend;
    int units = 1;    ///< devices of the system in use
    int threads = 0;  ///< per rank; 0 = all allowed cores shared among the ranks of a node
    Mapping mapping;
    EmulationChoice emulation;  ///< read by emulated backends only
    Protocol protocol;
    std::uint64_t seed = 1;
    std::shared_ptr<Storage> storage;  ///< measured compositions: data and checkpoints; may be null
    std::string resolved_dtype;        ///< "16-bit -> bf16", empty if no class was used
};

}  // namespace wb
