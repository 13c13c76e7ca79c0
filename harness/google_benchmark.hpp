#pragma once

#include <string>

#include "harness/result.hpp"

namespace wb {

/// What a program of Google Benchmark wrote with --benchmark_out (JSON, library 1.5 to 1.9), as measured cases: one for
/// each name and number of threads, whose samples are the real times of one iteration, one a repetition. Processor
/// times, iterations, rates and the user's counters are series by repetition; bytes_per_second and a counter in FLOP/s
/// become the work of a case. Of a file with aggregates alone the median (or mean) is the one sample. `left_out` counts
/// fits of complexity, which are no times. Throws Error with `place` for what is no such file.
struct GoogleBenchmarks {
    ResultSet set;
    int left_out = 0;
};
GoogleBenchmarks from_google_benchmark(const std::string& json, const std::string& place);

/// The same form, for Google's tools/compare.py and others: an entry for each sample, and mean, median, stddev and cv
/// where there are two or more. Time is that of the case; processor time is written only where it was read from such a
/// file, else equal to it. Cases that failed carry error_occurred, skipped ones are left out.
std::string to_google_benchmark(const ResultSet& set);

}  // namespace wb
