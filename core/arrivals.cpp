#include "core/arrivals.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <numbers>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "core/suggest.hpp"
#include "core/units.hpp"

namespace wb {
namespace {

/// Random numbers of one purpose: the n-th is the same whoever asks for it.
class Dice {
public:
    Dice(std::uint64_t seed, const char* purpose) : base_(Digest().add(seed).add(purpose).low()) {}
    /// In (0, 1).
    double uniform() { return (static_cast<double>(mix64(base_ + n_++) >> 11) + 0.5) * 0x1p-53; }
    /// Box and Muller 1958.
    double normal() {
        const double r = std::sqrt(-2 * std::log(uniform()));
        return r * std::cos(2 * std::numbers::pi * uniform());
    }
    /// Marsaglia and Tsang 2000; mean `shape`, variance `shape`.
    double gamma(double shape) {
        if (shape < 1) {
            const double boost = std::pow(uniform(), 1 / shape);
            return gamma(shape + 1) * boost;
        }
        const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
        for (;;) {
            const double x = normal(), v = std::pow(1 + c * x, 3);
            if (v > 0 && std::log(uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
        }
    }

private:
    std::uint64_t base_, n_ = 0;
};

/// "name:rest" cut at the first colon.
std::pair<std::string, std::string> cut(const std::string& text) {
    const std::size_t colon = text.find(':');
    if (colon == std::string::npos) return {text, ""};
    return {text.substr(0, colon), text.substr(colon + 1)};
}

double number_of(const std::string& text, const std::string& place, const std::string& whole) {
    double v = 0;
    const auto r = std::from_chars(text.data(), text.data() + text.size(), v);
    if (r.ec != std::errc() || r.ptr != text.data() + text.size() || !(v > 0) || !std::isfinite(v))
        throw Error({place, fmt::format("{} holds no number above 0", in_quotes(whole)), "",
                     place == "lengths" ? "Write \"lognormal:0.8\"." : "Write \"poisson:2/s\" or \"gamma:2/s:0.5\"."});
    return v;
}

double rate_of(std::string text, const std::string& whole) {
    if (!text.ends_with("/s"))
        throw Error({"arrival", fmt::format("{} has no rate", in_quotes(whole)), "requests come so many a second",
                     "Write \"poisson:2/s\"."});
    text.resize(text.size() - 2);
    return number_of(text, "arrival", whole);
}

std::vector<double> times_of(const ArrivalSpec& s) {
    std::vector<double> at(static_cast<std::size_t>(s.requests), 0);
    const auto [kind, rest] = cut(s.arrival);
    if (kind == "offline" && rest.empty()) return at;
    const auto [rate_text, shape_text] = cut(rest);
    if (kind != "constant" && kind != "poisson" && kind != "gamma")
        throw Error({"arrival", fmt::format("{} is no way requests come", in_quotes(s.arrival)), "",
                     did_you_mean(kind, {"offline", "constant", "poisson", "gamma", "trace"})});
    const double gap = 1 / rate_of(rate_text, s.arrival);
    const double shape = kind == "gamma" ? number_of(shape_text, "arrival", s.arrival) : 1;
    Dice dice(s.seed, "arrival");
    double now = 0;
    for (double& t : at) {
        t = now += kind == "constant" ? gap
                   : kind == "gamma"  ? gap * dice.gamma(shape) / shape
                                      : -gap * std::log(dice.uniform());
    }
    return at;
}

class Lengths {
public:
    Lengths(const ArrivalSpec& s, double mean, const char* purpose) : mean_(mean), dice_(s.seed, purpose) {
        const auto [kind, rest] = cut(s.lengths);
        kind_ = kind;
        if (!(mean >= 1) || !std::isfinite(mean))
            throw Error({purpose, fmt::format("a mean of {} tokens", mean), "every request has at least one", ""});
        if (kind == "lognormal") {
            const double variation = number_of(rest, "lengths", s.lengths);
            sigma_ = std::sqrt(std::log1p(variation * variation));
        } else if ((kind != "fixed" && kind != "uniform") || !rest.empty()) {
            throw Error({"lengths", fmt::format("{} is no distribution", in_quotes(s.lengths)), "",
                         did_you_mean(kind, {"fixed", "uniform", "lognormal:0.8"})});
        }
    }

    std::int64_t next() {
        double v = mean_;
        if (kind_ == "uniform") v = 1 + (2 * mean_ - 2) * dice_.uniform();
        if (kind_ == "lognormal") v = mean_ * std::exp(sigma_ * dice_.normal() - sigma_ * sigma_ / 2);
        carried_ += v;
        const double whole = kind_ == "fixed" ? std::floor(carried_ + 1e-9) : std::round(v);
        carried_ -= whole;
        return std::max<std::int64_t>(1, static_cast<std::int64_t>(whole));
    }

private:
    std::string kind_;
    double mean_, sigma_ = 0, carried_ = 0;
    Dice dice_;
};

}  // namespace

std::vector<Request> requests_of(const ArrivalSpec& s) {
    if (s.requests < 1) throw Error({"requests", fmt::format("are {}", s.requests), "there must be at least one", ""});
    const std::vector<double> at = times_of(s);
    Lengths input(s, s.input, "input"), output(s, s.output, "output");
    std::vector<Request> out;
    out.reserve(at.size());
    for (double t : at) out.push_back({t, input.next(), output.next()});
    return out;
}

std::vector<Request> read_trace(const std::string& path) {
    std::ifstream in(path);
    if (!in)
        throw Error(
            {path, "cannot be read", "it says when requests come", "A path is looked up beside the experiment."});
    std::vector<Request> out;
    std::string line;
    for (int n = 1; std::getline(in, line); ++n) {
        if (line.ends_with('\r')) line.pop_back();
        if (line.empty() || line[0] == '#' || (out.empty() && line.starts_with("time"))) continue;
        const std::string place = fmt::format("{}:{}", path, n);
        Request r;
        char end = 0;
        long long input = 0, output = 0;
        if (std::sscanf(line.c_str(), "%lf,%lld,%lld%c", &r.arrival_s, &input, &output, &end) != 3)
            throw Error({place, fmt::format("{} is no request", in_quotes(line)), "",
                         "Write \"time,input,output\": seconds, tokens, tokens."});
        r.input = input;
        r.output = output;
        if (!(r.arrival_s >= 0) || !std::isfinite(r.arrival_s))
            throw Error({place, fmt::format("a request at {} s", r.arrival_s), "time begins at 0", ""});
        if (!out.empty() && r.arrival_s < out.back().arrival_s)
            throw Error({place, fmt::format("a request at {} s follows one at {} s", r.arrival_s, out.back().arrival_s),
                         "requests are served in the order they come", "Sort the trace by time."});
        if (r.input < 1 || r.output < 1)
            throw Error({place, fmt::format("{} tokens in, {} out", r.input, r.output), "each must be at least 1", ""});
        out.push_back(r);
    }
    if (out.empty()) throw Error({path, "holds no request", "", "Write \"time,input,output\" lines."});
    return out;
}

}  // namespace wb
