#include "harness/tco/draws.hpp"

#include <cmath>
#include <numbers>
#include <numeric>

#include "core/hash.hpp"
#include "harness/stats.hpp"

namespace wb::tco {
namespace {

/// 53 random bits: 0 <= u < 1.
double unit_interval(std::uint64_t word) { return static_cast<double>(word >> 11) * 0x1p-53; }

std::uint64_t stream_of(const std::string& name, std::uint64_t seed) { return Digest().add(seed).add(name).low(); }

/// The p of a trial: somewhere in its own part.
double part(std::uint32_t rank, std::uint64_t stream, std::size_t trial, std::size_t trials) {
    return (rank + unit_interval(random_word(~stream, trial))) / static_cast<double>(trials);
}

}  // namespace

double triangular(double low, double mode, double high, double p) {
    const double width = high - low, split = (mode - low) / width;
    if (p < split) return low + std::sqrt(p * width * (mode - low));
    return high - std::sqrt((1 - p) * width * (high - mode));
}

double normal_quantile(double p) {
    static constexpr double a[] = {-3.969683028665376e+01, 2.209460984245205e+02,  -2.759285104469687e+02,
                                   1.383577518672690e+02,  -3.066479806614716e+01, 2.506628277459239e+00};
    static constexpr double b[] = {-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02,
                                   6.680131188771972e+01, -1.328068155288572e+01};
    static constexpr double c[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
                                   -2.549732539343734e+00, 4.374664141464968e+00,  2.938163982698783e+00};
    static constexpr double d[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                                   3.754408661907416e+00};
    if (p > 0.5) return -normal_quantile(1 - p);
    double x = 0;
    if (p < 0.02425) {
        const double q = std::sqrt(-2 * std::log(p));
        x = (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
            ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
    } else {
        const double q = p - 0.5, r = q * q;
        x = (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
            (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
    }
    const double error = 0.5 * std::erfc(-x / std::numbers::sqrt2) - p;
    return x - error * std::sqrt(2 * std::numbers::pi) * std::exp(x * x / 2);
}

std::vector<std::uint32_t> shuffled(std::size_t n, std::uint64_t stream) {
    std::vector<std::uint32_t> out(n);
    std::iota(out.begin(), out.end(), 0u);
    for (std::size_t i = n; i > 1; --i) {
        const auto j = static_cast<std::size_t>(unit_interval(random_word(stream, i)) * static_cast<double>(i));
        std::swap(out[i - 1], out[j]);
    }
    return out;
}

std::vector<double> normal_draws(const std::string& name, std::size_t trials, std::uint64_t seed) {
    const std::uint64_t stream = stream_of(name, seed);
    const std::vector<std::uint32_t> rank = shuffled(trials, stream);
    std::vector<double> out(trials);
    for (std::size_t t = 0; t < trials; ++t)
        out[t] = normal_quantile(std::max(part(rank[t], stream, t, trials), 1e-12));
    return out;
}

Draws::Draws(const Book& book, const std::vector<char>& used, std::size_t trials, std::uint64_t seed)
    : trials_(trials), width_(book.all().size()), ranks_(width_) {
    for (const Assumption& a : book.all()) modes_.push_back(a.mode);
    values_.resize(trials * width_);
    for (std::size_t t = 0; t < trials; ++t)
        std::copy(modes_.begin(), modes_.end(), values_.begin() + static_cast<std::ptrdiff_t>(t * width_));
    for (std::size_t i = 0; i < width_; ++i) {
        const Assumption& a = book.all()[i];
        if (!used[i] || !(a.low < a.high)) continue;
        const std::uint64_t stream = stream_of(a.key, seed);
        ranks_[i] = shuffled(trials, stream);
        for (std::size_t t = 0; t < trials; ++t)
            values_[t * width_ + i] = triangular(a.low, a.mode, a.high, part(ranks_[i][t], stream, t, trials));
    }
}

}  // namespace wb::tco
