#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/serving.hpp"

namespace wb {

/// How requests come, and how long they are.
struct ArrivalSpec {
    std::string arrival = "offline";  ///< "offline", "poisson:2/s", "constant:2/s", "gamma:2/s:0.5", see requests_of()
    std::string lengths = "fixed";    ///< "fixed", "uniform", "lognormal:0.8"
    std::int64_t requests = 1;
    double input = 1, output = 1;  ///< mean tokens
    std::uint64_t seed = 1;
};

/// The requests, by arrival; equal for equal specs on every machine.
/// - offline: all at time 0; constant: one every 1/rate; poisson: independent, exponential gaps of mean 1/rate;
///   gamma: gaps of the same mean whose variance is 1/shape of the exponential's, below 1 in bursts.
/// - fixed lengths: the mean, rounded so that the sum stays exact; uniform: 1 to twice the mean less 1; lognormal: of
///   this mean and this coefficient of variation (standard deviation over mean). At least one token.
/// Throws Error for what it does not know.
std::vector<Request> requests_of(const ArrivalSpec& spec);

/// Reads "time,input,output" lines: seconds and tokens, a header and empty lines apart. Throws Error with the line for
/// a time that is negative or before the one above it, and for what is no request.
std::vector<Request> read_trace(const std::string& path);

}  // namespace wb
