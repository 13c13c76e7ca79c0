#include "models/timeline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "core/error.hpp"

namespace wb {
namespace {

/// One stage on its way through its steps.
struct Stage {
    std::size_t next = 0;
    double now = 0;
};

class Player {
public:
    Player(const StageSteps& steps, const StepSeconds& cost)
        : steps_(steps), cost_(cost), stages_(steps.stages.size()) {
        out_.idle.resize(stages_.size());
        out_.exposed.resize(stages_.size());
        out_.busy.resize(stages_.size());
        last_.resize(stages_.size(), none);
    }

    Timeline run() {
        for (bool moved = true; moved;) {
            moved = false;
            for (std::size_t s = 0; s < stages_.size(); ++s)
                while (stages_[s].next < steps_.stages[s].size() && advance(s)) moved = true;
        }
        finish();
        return std::move(out_);
    }

private:
    static constexpr std::size_t none = static_cast<std::size_t>(-1);

    /// False: the message it needs has not been sent yet.
    bool advance(std::size_t s) {
        Stage& stage = stages_[s];
        const Step& step = steps_.stages[s][stage.next];
        const int self = static_cast<int>(s);
        switch (step.kind) {
            case Step::Kind::compute:
                out_.busy[s] += step.seconds;
                put(s, "compute", step.phase, step.seconds, 0);
                break;
            case Step::Kind::send: {
                const double time = cost_(step);
                arrivals_[{self, step.peer, step.tag}] = stage.now + time;
                out_.exposed[s] += step.exposed * time;
                put(s, "network", step.phase, step.exposed * time, step.bytes);
                break;
            }
            case Step::Kind::receive: {
                const auto found = arrivals_.find({step.peer, self, step.tag});
                if (found == arrivals_.end()) return false;
                const double wait = std::max(0.0, found->second - stage.now);
                out_.idle[s] += wait;
                put(s, "idle", "waiting", wait, 0);
                arrivals_.erase(found);
                break;
            }
            case Step::Kind::collective: {
                const double time = step.exposed * cost_(step);
                out_.exposed[s] += time;
                put(s, "network", step.phase, time, step.bytes);
                break;
            }
        }
        ++stage.next;
        return true;
    }

    /// Appends to the stage's last box where that is of the same sort and touches it.
    void put(std::size_t s, const char* what, const std::string& phase, double seconds, double bytes) {
        double& now = stages_[s].now;
        if (seconds > 0) {
            const std::string resource = fmt::format("stage {} {}", s, what);
            Span* last = last_[s] == none ? nullptr : &out_.spans[last_[s]];
            if (last && last->resource == resource && last->phase == phase) {
                last->duration += Seconds(seconds);
                last->bytes += Bytes(bytes);
            } else {
                last_[s] = out_.spans.size();
                out_.spans.push_back({-1, resource, phase, Seconds(now), Seconds(seconds), Bytes(bytes), Flops(0)});
            }
        }
        now += seconds;
    }

    void finish() {
        for (std::size_t s = 0; s < stages_.size(); ++s) {
            const std::size_t at = stages_[s].next;
            if (at < steps_.stages[s].size())
                throw Error({fmt::format("stage {}", s),
                             fmt::format("step {} waits for message {} of stage {}, which is never sent before it", at,
                                         steps_.stages[s][at].tag, steps_.stages[s][at].peer),
                             "the schedule would never end", ""});
            out_.seconds = std::max(out_.seconds, stages_[s].now);
        }
        for (std::size_t s = 0; s < stages_.size(); ++s) {
            const double rest = out_.seconds - stages_[s].now;
            out_.idle[s] += rest;
            put(s, "idle", "waiting", rest, 0);
        }
        std::stable_sort(out_.spans.begin(), out_.spans.end(),
                         [](const Span& a, const Span& b) { return a.start < b.start; });
    }

    const StageSteps& steps_;
    const StepSeconds& cost_;
    std::vector<Stage> stages_;
    std::vector<std::size_t> last_;
    std::map<std::tuple<int, int, int>, double> arrivals_;  ///< by sender, receiver, tag
    Timeline out_;
};

}  // namespace

Timeline play(const StageSteps& steps, const StepSeconds& cost) { return Player(steps, cost).run(); }

}  // namespace wb
