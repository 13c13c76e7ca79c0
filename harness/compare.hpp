#pragma once

#include <string>

#include "core/error.hpp"
#include "harness/result.hpp"
#include "harness/show.hpp"

namespace wb {

struct CompareOptions {
    double threshold = 0.05;  ///< measured: a slowdown below this does not count
    bool strict = false;      ///< inconclusive measured rows give Exit::inconclusive
    bool exact_only = false;  ///< leave measured rows out
    std::uint64_t seed = 1;
};

struct Comparison {
    std::string table;
    std::string summary;
    Exit code = Exit::ok;
};

/// Sets B beside A, case by case. Of bound, modelled, simulated and emulated cases the times must be equal to the last
/// bit, and so must timelines, memory, communication and heat maps; measured ones are compared as a ratio of medians
/// with a 95 % bootstrap interval. Throws Error if the two hold different workloads under one key, or have no case in
/// common (Exit::baseline).
Comparison compare_results(const ResultSet& a, const ResultSet& b, const CompareOptions& options, Format format,
                           bool colour);

}  // namespace wb
