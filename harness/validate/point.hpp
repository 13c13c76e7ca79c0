#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace wb {

/// What a metric says of a run's time.
enum class Sense {
    time,    ///< grows with it: seconds, cycles
    rate,    ///< falls with it: tokens/s, FLOP/s, bus bandwidth
    amount,  ///< says nothing of it: bytes, tokens, a ratio of energies
};

/// A metric of the schema with its unit.
struct Metric {
    const char *name, *unit;
    Sense sense;
};
const std::vector<Metric>& all_metrics();
const Metric* find_metric(const std::string& name);

/// The families a published measurement may belong to: the names of the column `workload`.
const std::vector<std::string>& all_families();
/// The family whose measurements judge a workload or a phase of one: "gemv" -> "gemm", "train" -> "train_step".
std::string family_of_workload(const std::string& workload);

/// One published measurement: a row of configs/validation/*.csv.
struct Point {
    std::string id, system, workload, params_text, metric, value_text, unit, group, quality, source, locator;
    std::vector<std::pair<std::string, std::string>> params;
    double value = 0;         ///< SI
    std::string place;        ///< file:line
    bool shipped = false;     ///< of configs/validation, or a newer version of such a row
    std::string run;          ///< of a results file: the workload that was run with just these params; else empty
    std::string run_mapping;  ///< and how it was spread

    const std::string* find(const std::string& key) const;
    bool has(const std::string& key) const { return find(key) != nullptr; }
    bool flag(const std::string& key) const { return integer_or(key, 0) != 0; }
    /// Throw Error, without a place, if the key is missing or is no such value.
    const std::string& word(const std::string& key) const;
    std::int64_t integer(const std::string& key) const;
    double number(const std::string& key) const;
    std::string word_or(const std::string& key, const std::string& fallback) const;
    std::int64_t integer_or(const std::string& key, std::int64_t fallback) const;

    Sense sense() const;
};

}  // namespace wb
