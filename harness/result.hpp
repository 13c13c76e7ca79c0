#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/measurement.hpp"

namespace wb {

/// A case with what it yielded: one record of the journal, one row of the table `cases`.
struct Result {
    std::string key;  ///< what was asked: workload, parameters, system, options, units, backend, mapping
    std::string
        full_key;  ///< digest of key, graph, system file, protocol and code: equal only if a run would repeat this one
    std::string label, workload, params, system, backend, fingerprint;
    std::string mesh;  ///< "32x32 summa": the mesh and algorithm the experiment names, if it names any
    int units = 1, ranks = 1, threads = 0;
    double flops = 0, matmul_flops = 0, compulsory_bytes = 0;
    Measurement m;

    double median_s() const;  ///< of the samples; NaN if there are none
};

/// What is true of one call of `run`: how it was started, on what, with which code.
struct RunInfo {
    std::string run_id, experiment, title, date, command, config_toml, environment_before, environment_after,
        build_json, mpi;
    std::map<std::string, std::string> systems;  ///< id -> file text
    std::vector<std::string> warnings;
    int ranks = 1;
    std::string anchor;  ///< host name
};

/// One line of JSON for the journal, and back. A record that is not understood gives an Error with `place`.
std::string to_record(const Result& result);
std::string to_record(const RunInfo& info);

/// What a journal or a results file holds.
struct ResultSet {
    std::vector<RunInfo> runs;
    std::vector<Result> results;  ///< the last one of each key, in the order they first appeared
    std::set<std::string> begun;  ///< full keys of cases that were begun and never ended: their job died
};
/// Says that a case is about to run, so that its death is known.
std::string begun_record(const std::string& full_key);
/// Reads journal payloads; later results of the same key replace earlier ones.
ResultSet from_records(const std::vector<std::string>& payloads, const std::string& place);

}  // namespace wb
