#pragma once

#include <string>

#include "harness/result.hpp"

namespace wb {

/// How imported cases are marked: their workload and backend; the series with the unit of a file's times, and those
/// of its statistics; why a statistic stands for samples.
inline constexpr const char *google_benchmark_name = "google-benchmark", *google_benchmark_unit = "time_unit",
                            *google_benchmark_aggregate = "aggregate ", *google_benchmark_alone = "aggregates alone: ";

/// What a program of Google Benchmark wrote with --benchmark_out (JSON of any version), as measured cases: one for each
/// name and number of threads, whose samples are the real times of one iteration, one a repetition. Processor times,
/// iterations, rates and the user's counters are series by repetition, statistics are series too; bytes_per_second and
/// a counter in FLOP/s become the work of a case. Of a file with statistics alone the median is the one sample, else
/// the mean, else what there is. A case with an impossible time has failed. `left_out` counts what is no time: fits of
/// complexity, names alone, deviations without what they deviate from. Throws Error with `place` for what is no such
/// file.
struct GoogleBenchmarks {
    ResultSet set;
    int left_out = 0;
};
GoogleBenchmarks from_google_benchmark(const std::string& json, const std::string& place);

/// The same form, for Google's tools/compare.py and others: an entry for each sample, and the statistics that were read
/// or, where there are two samples or more, mean, median, stddev and cv. Time is that of the case, in the unit it was
/// read in (compare.py compares no others); processor time is written only where it was read from such a file, else
/// equal to it. Cases that failed carry error_occurred; skipped ones are left out where this suite skipped them.
std::string to_google_benchmark(const ResultSet& set);

}  // namespace wb
