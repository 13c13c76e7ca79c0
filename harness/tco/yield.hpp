#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/system.hpp"
#include "harness/result.hpp"

namespace wb::tco {

/// What one stored result yields for the time it takes: the denominator of every unit cost.
struct Yield {
    std::string label, workload, fingerprint, key;
    std::string family;  ///< workload and parameters without those that set the load: points of one Pareto front
    std::string system, mapping, backend;
    Kind kind = Kind::modelled;
    std::string reason;        ///< why there is no time; empty if there is one
    int units = 1;             ///< devices in use
    int node_units = 1;        ///< devices of a node
    int replicas = 1;          ///< that fail apart from each other
    bool coupled = false;      ///< training: one failure stops all, and work since the last checkpoint is lost
    double run_s = 0;          ///< median time of a run
    double low = 1, high = 1;  ///< what a real time may be, as factors of run_s: 10th to 90th percentile
    bool band_unknown = false, extrapolated = false;
    bool unjudged = false;       ///< a model's, and too little was published that it could be held to on this system
    double training_tokens = 0;  ///< of a whole training, where one was asked about
    // Of one run; 0 where the workload has none.
    double flops = 0, input_tokens = 0, output_tokens = 0, trained_tokens = 0;
    std::optional<double> interactivity;  ///< tokens per second that one user sees, median
    std::optional<double> ttft_s;         ///< time to the first token, median
    std::optional<double> tail_s;         ///< 99th percentile of the time to the first token
    std::optional<double> energy_J;       ///< of one run
    std::string detail;

    bool usable() const { return reason.empty(); }
    std::string name() const;  ///< "SYSTEM x8"
};

/// The cases of a results file that may have a cost, without bounds. `filter` keeps those whose key has all its words
/// (-word: has not). Throws Error for a case that failed its verification, since nothing valid was produced, and where
/// one label stands for different work (fingerprints).
std::vector<Yield> yields_of(const std::vector<ResultSet>& sets, const std::string& filter);

/// The system files stored with the results, by id.
std::map<std::string, System> systems_of(const std::vector<ResultSet>& sets);

/// A parameter of "model=a slo_ttft=1 s dtype=f32"; empty if there is none of that name.
std::string param_of(const std::string& params, const std::string& name);

}  // namespace wb::tco
