#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "harness/tco/book.hpp"

namespace wb::tco {

/// A Latin hypercube: each number's range is cut into as many parts of equal probability as there are trials, and each
/// part is drawn from once (McKay, Beckman, Conover 1979). A number is drawn once a trial and shared by all systems,
/// and its draws depend on seed and name alone.
class Draws {
public:
    Draws(const Book& book, const std::vector<char>& used, std::size_t trials, std::uint64_t seed);

    std::size_t trials() const { return trials_; }
    /// All assumptions of the book in one trial; those not used stand at their mode.
    const double* trial(std::size_t t) const { return values_.data() + t * width_; }
    /// At their modes.
    const std::vector<double>& modes() const { return modes_; }
    /// Ranks of one assumption's draws, by trial; empty for one that does not vary.
    std::span<const std::uint32_t> ranks(int assumption) const { return ranks_[static_cast<std::size_t>(assumption)]; }

private:
    std::size_t trials_, width_;
    std::vector<double> values_, modes_;
    std::vector<std::vector<std::uint32_t>> ranks_;
};

/// A random order of 0 .. n-1, by Fisher and Yates.
std::vector<std::uint32_t> shuffled(std::size_t n, std::uint64_t stream);
/// Draws of a standard normal number, stratified as above; `name` chooses the stream.
std::vector<double> normal_draws(const std::string& name, std::size_t trials, std::uint64_t seed);

/// Where a triangular distribution has the part p below it.
double triangular(double low, double mode, double high, double p);
/// The same of the standard normal distribution, within 1e-9 (Acklam's rational approximation and one Newton step).
double normal_quantile(double p);

}  // namespace wb::tco
