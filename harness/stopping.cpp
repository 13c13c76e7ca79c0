#include "harness/stopping.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "core/error.hpp"
#include "harness/stats.hpp"

namespace wb {
namespace {

constexpr int fewest_for_an_interval = 6;

double monotonic_s() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void check(const StoppingRule& rule) {
    const auto refuse = [](std::string problem, std::string why, std::string hint) {
        throw Error({"stopping rule", std::move(problem), std::move(why), std::move(hint)});
    };
    if (rule.min_samples < 1)
        refuse(fmt::format("min_samples = {}", rule.min_samples), "nothing would be measured", "Use 1 or more.");
    if (rule.max_samples < rule.min_samples)
        refuse(fmt::format("max_samples = {} is below min_samples = {}", rule.max_samples, rule.min_samples),
               "both cannot hold", "Raise max_samples.");
    if (!(rule.timeout_s > 0 && std::isfinite(rule.timeout_s)))
        refuse(fmt::format("timeout = {} s", rule.timeout_s), "a case must end", "Use a positive time.");
    if (!(rule.min_time_s >= 0 && rule.min_time_s <= rule.timeout_s))
        refuse(fmt::format("min_time = {} s with timeout = {} s", rule.min_time_s, rule.timeout_s),
               "min_time must lie between 0 and the timeout", "Lower min_time or raise the timeout.");
    if (!(rule.max_noise >= 0))
        refuse(fmt::format("max_noise = {}", rule.max_noise), "a width is not negative", "Use 0.05 for 5 %.");
}

std::string percent(double fraction) {
    return std::isfinite(fraction) ? fmt::format("{:.2g} %", 100 * fraction) : "unknown";
}

}  // namespace

Stopping::Stopping(const StoppingRule& rule, std::function<double()> now_s)
    : rule_(rule),
      now_s_(now_s ? std::move(now_s) : monotonic_s),
      begin_s_(now_s_()),
      noise_(std::numeric_limits<double>::infinity()),
      next_look_(std::max(rule.min_samples, fewest_for_an_interval)) {
    check(rule_);
    samples_.reserve(static_cast<std::size_t>(std::min(rule_.max_samples, 4096)));
}

void Stopping::add(double seconds) {
    WB_EXPECT(!finished());
    samples_.push_back(seconds);
    if (!(seconds >= 0 && std::isfinite(seconds))) return finish(Verdict::bad_sample);
    total_s_ += seconds;
    spent_s_ = std::max(total_s_, now_s_() - begin_s_);
    const bool due = count() >= next_look_ && total_s_ >= rule_.min_time_s;
    if (due) {
        look();
        if (noise_ <= rule_.max_noise) return finish(Verdict::noise);
    }
    if (count() >= rule_.max_samples) return finish(Verdict::max_samples);
    if (spent_s_ >= rule_.timeout_s) return finish(Verdict::timeout);
}

void Stopping::look() {
    const auto n = samples_.size();
    next_look_ = count() > std::numeric_limits<int>::max() / 2 ? std::numeric_limits<int>::max()
                                                               : count() + std::max(1, count() / 8);
    if (count() < fewest_for_an_interval) return;
    // The low bound partitions all, the high one what is above it, the median what is between: about 2.5 n steps,
    // and the next look finds most of the partitioning done.
    const MedianRanks ranks = median_ranks(n);
    const auto at = [&](std::size_t rank) { return samples_.begin() + static_cast<std::ptrdiff_t>(rank); };
    std::nth_element(at(0), at(ranks.low), samples_.end());
    if (ranks.high > ranks.low) std::nth_element(at(ranks.low + 1), at(ranks.high), samples_.end());
    const double low = *at(ranks.low), high = *at(ranks.high);
    if (n / 2 > ranks.low && n / 2 < ranks.high) std::nth_element(at(ranks.low + 1), at(n / 2), at(ranks.high));
    double centre = *at(n / 2);
    if (n % 2 == 0) centre = (centre + *std::max_element(at(ranks.low), at(n / 2))) / 2;
    noise_ = relative_width({low, high, ranks.coverage}, centre);
}

void Stopping::finish(Verdict verdict) {
    verdict_ = verdict;
    if (verdict == Verdict::max_samples || verdict == Verdict::timeout) look();
}

std::string Stopping::reason() const {
    const bool quiet = noise_ <= rule_.max_noise;
    const std::string noise = fmt::format("noise {}{} {} {}", quiet ? "" : "still ", percent(noise_),
                                          quiet ? "<=" : ">", percent(rule_.max_noise));
    switch (verdict_) {
        case Verdict::running: return "running";
        case Verdict::noise: return fmt::format("noise reached {} <= {}", percent(noise_), percent(rule_.max_noise));
        case Verdict::max_samples:
            return fmt::format("max_samples: {} samples in {:.3g} s, {}", count(), total_s_, noise);
        case Verdict::timeout: return fmt::format("timeout: {:.3g} s in {} samples, {}", spent_s_, count(), noise);
        case Verdict::bad_sample:
            return fmt::format("sample {} is {} s, which is not a time", count(), samples_.back());
    }
    return "unknown";
}

}  // namespace wb
