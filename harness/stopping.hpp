#pragma once

#include <functional>
#include <string>
#include <vector>

namespace wb {

/// When a case has been sampled enough.
struct StoppingRule {
    int min_samples = 10, max_samples = 1000;
    double min_time_s = 0.1;  ///< sum of the samples; the noise is not believed before
    double timeout_s = 60;    ///< sum of the samples, or time on the wall since the first look, whichever is longer
    double max_noise = 0.05;  ///< relative width of the median's 95 % interval
};

/// Decides after each sample whether to go on. Ends for any input: at the latest after max_samples.
/// The noise is looked at when the sample has grown by an eighth, so a sample costs O(1) amortised, however many there
/// are.
class Stopping {
public:
    enum class Verdict { running, noise, max_samples, timeout, bad_sample };

    /// `now_s` is the wall clock behind timeout_s; empty: a monotonic one. Throws Error on a rule that contradicts
    /// itself.
    explicit Stopping(const StoppingRule& rule, std::function<double()> now_s = {});

    /// Throws ContractError after finished(). A NaN, infinite or negative time ends the sampling with bad_sample.
    void add(double seconds);
    bool finished() const { return verdict_ != Verdict::running; }
    Verdict verdict() const { return verdict_; }
    /// "noise reached 1.2 % <= 5 %", "timeout: 60 s in 12 samples, noise still 8.1 % > 5 %", ...; "running".
    std::string reason() const;
    /// As of the last look; infinite before 6 samples, with which a 95 % interval of a median begins to exist.
    double noise() const { return noise_; }
    int count() const { return static_cast<int>(samples_.size()); }
    double total_s() const { return total_s_; }

private:
    void look();
    void finish(Verdict verdict);

    StoppingRule rule_;
    std::function<double()> now_s_;
    double begin_s_;
    std::vector<double> samples_;  ///< in no order: looking partitions it
    double total_s_ = 0, spent_s_ = 0;
    double noise_;
    int next_look_;
    Verdict verdict_ = Verdict::running;
};

}  // namespace wb
