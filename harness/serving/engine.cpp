#include "harness/serving/engine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <queue>

#include "core/error.hpp"

namespace wb::serving {
namespace {

constexpr std::size_t most_moments = 512;

/// Keeps every n-th moment, n doubling whenever there are too many.
class Moments {
public:
    void add(const Moment& m) {
        if (seen_++ % every_ != 0) return;
        kept_.push_back(m);
        if (kept_.size() < most_moments) return;
        for (std::size_t i = 0; 2 * i < kept_.size(); ++i) kept_[i] = kept_[2 * i];
        kept_.resize((kept_.size() + 1) / 2);
        every_ *= 2;
    }
    std::vector<Moment> take() { return std::move(kept_); }

private:
    std::vector<Moment> kept_;
    std::size_t seen_ = 0, every_ = 1;
};

class Simulation {
public:
    Simulation(std::span<const Request> requests, const Engine& engine, StepTimes& times)
        : requests_(requests), engine_(engine), times_(times) {
        trace_.served.resize(requests.size());
        for (const Request& r : requests)
            if (engine.cache_tokens > 0 && needs(r) > engine.cache_tokens)
                throw Error({"serve",
                             fmt::format("a request of {} and {} tokens is more than the {:.0f} of the whole cache",
                                         r.input, r.output, engine.cache_tokens),
                             "it could never be served", "Use more units, or a narrower type."});
    }

    Trace run() {
        while (finished_ < requests_.size()) {
            while (next_ < requests_.size() && requests_[next_].arrival_s <= now_) waiting_.push_back(next_++);
            const Step step = fill();
            if (step != Step{}) {
                take(step);
            } else if (finished_ < requests_.size() && waiting_.empty()) {
                WB_EXPECT(next_ < requests_.size());
                now_ = requests_[next_].arrival_s;
            }
        }
        trace_.makespan_s = now_;
        trace_.mean_batch = decode_steps_ > 0 ? static_cast<double>(decoded_) / static_cast<double>(decode_steps_) : 0;
        trace_.moments = moments_.take();
        return std::move(trace_);
    }

private:
    struct Reading {
        std::size_t request;
        std::int64_t done;
    };
    struct Ending {
        std::int64_t at;  // count of decode steps
        std::size_t request;
        bool operator>(const Ending& o) const { return at != o.at ? at > o.at : request > o.request; }
    };

    static double needs(const Request& r) { return static_cast<double>(r.input + r.output); }

    bool fits(const Request& r) const {
        const auto active = decodes_ + static_cast<std::int64_t>(reading_.size() + joining_.size());
        if (engine_.max_batch > 0 && active >= engine_.max_batch) return false;
        return engine_.cache_tokens <= 0 || reserved_ + needs(r) <= engine_.cache_tokens;
    }

    /// The first that waits gets its place in the cache.
    std::size_t admit() {
        const std::size_t i = waiting_.front();
        reserved_ += needs(requests_[i]);
        trace_.peak_cache_tokens = std::max(trace_.peak_cache_tokens, reserved_);
        waiting_.pop_front();
        return i;
    }

    Step fill() {
        Step step;
        if (engine_.prefilled) {
            while (!waiting_.empty() && fits(requests_[waiting_.front()])) joining_.push_back(admit());
            join();
        } else if (engine_.policy == BatchPolicy::chunked) {
            pieces(step);
        } else {
            whole_prompts(step);
        }
        if (engine_.policy == BatchPolicy::prefill_first && step.prompts > 0) return step;
        step.decodes = decodes_;
        step.cached_tokens = cached_;
        return step;
    }

    /// Fewer could enter now than shall enter together, and not because the step is full.
    bool too_few(std::int64_t budget) const {
        if (decodes_ == 0) return false;
        double tokens = 0;
        for (std::int64_t n = 0; n < engine_.together; ++n) {
            if (n >= std::ssize(waiting_)) return true;
            const Request& r = requests_[waiting_[static_cast<std::size_t>(n)]];
            const bool room = engine_.cache_tokens <= 0 || reserved_ + tokens + needs(r) <= engine_.cache_tokens;
            if (!room || (engine_.max_batch > 0 && decodes_ + n >= engine_.max_batch)) return true;
            budget -= r.input;
            if (budget < 0) return false;
            tokens += needs(r);
        }
        return false;
    }

    void whole_prompts(Step& step) {
        const bool alone = engine_.policy == BatchPolicy::prefill_first;
        const std::int64_t budget = engine_.token_budget - (alone ? 0 : decodes_);
        if (engine_.together > 1 && too_few(budget)) return;
        while (!waiting_.empty() && fits(requests_[waiting_.front()])) {
            const std::int64_t tokens = requests_[waiting_.front()].input;
            // A prompt beyond any budget is a step of its own.
            const bool oversized = tokens > budget && tokens > engine_.token_budget / 2 && step.prompts == 0;
            if (step.prompt_tokens + tokens > budget && !oversized) break;
            joining_.push_back(admit());
            ++step.prompts;
            step.prompt_tokens += tokens;
        }
    }

    void pieces(Step& step) {
        std::int64_t left = engine_.token_budget - decodes_;
        for (std::size_t i = 0; left > 0; ++i) {
            if (i == reading_.size()) {
                if (waiting_.empty() || !fits(requests_[waiting_.front()])) break;
                reading_.push_back({admit(), 0});
            }
            Reading& r = reading_[i];
            const std::int64_t piece = std::min(left, requests_[r.request].input - r.done);
            ++step.prompts;
            step.prompt_tokens += piece;
            step.context_pairs += static_cast<double>(piece) * static_cast<double>(r.done);
            r.done += piece;
            left -= piece;
        }
        while (!reading_.empty() && reading_.front().done == requests_[reading_.front().request].input) {
            joining_.push_back(reading_.front().request);
            reading_.pop_front();
        }
    }

    void take(const Step& step) {
        const double t = times_.seconds(step);
        WB_EXPECT(t > 0);
        now_ += t;
        trace_.busy_s += t;
        if (step.prompts > 0) {
            Step without = step;
            without.prompts = without.prompt_tokens = 0;
            without.context_pairs = 0;
            trace_.prefill_s += step.decodes > 0 ? std::max(0.0, t - times_.seconds(without)) : t;
        }
        ++trace_.steps;
        trace_.request_steps += step.prompts + step.decodes;
        trace_.prompt_tokens += step.prompt_tokens;
        if (step.decodes > 0) {
            ++decode_steps_;
            decoded_ += step.decodes;
            trace_.new_tokens += step.decodes;
            cached_ += static_cast<double>(step.decodes);
            end();
        }
        join();
        moments_.add({now_, static_cast<std::int64_t>(waiting_.size()), decodes_, cached_});
    }

    /// Prompts that were read: their first token is there.
    void join() {
        for (const std::size_t i : joining_) {
            const Request& r = requests_[i];
            if (!engine_.prefilled) {
                trace_.served[i].first_token_s = now_;
                ++trace_.new_tokens;
            }
            ++decodes_;
            cached_ += static_cast<double>(r.input);
            endings_.push({decode_steps_ + r.output - 1, i});
        }
        joining_.clear();
        end();
    }

    void end() {
        while (!endings_.empty() && endings_.top().at <= decode_steps_) {
            const std::size_t i = endings_.top().request;
            endings_.pop();
            trace_.served[i].finish_s = now_;
            --decodes_;
            cached_ -= static_cast<double>(requests_[i].input + requests_[i].output - 1);
            reserved_ -= needs(requests_[i]);
            ++finished_;
        }
    }

    std::span<const Request> requests_;
    Engine engine_;
    StepTimes& times_;
    Trace trace_;
    Moments moments_;
    double now_ = 0, cached_ = 0, reserved_ = 0;
    std::size_t next_ = 0, finished_ = 0;
    std::int64_t decodes_ = 0, decode_steps_ = 0, decoded_ = 0;
    std::deque<std::size_t> waiting_;
    std::deque<Reading> reading_;
    std::vector<std::size_t> joining_;
    std::priority_queue<Ending, std::vector<Ending>, std::greater<>> endings_;
};

}  // namespace

Trace simulate(std::span<const Request> requests, const Engine& engine, StepTimes& times) {
    return Simulation(requests, engine, times).run();
}

}  // namespace wb::serving
