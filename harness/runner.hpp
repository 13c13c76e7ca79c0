#pragma once

#include <functional>
#include <string>

#include "harness/plan.hpp"
#include "harness/result.hpp"

namespace wb {

/// Why a run ended before its last case.
enum class Stop { none, interrupt, terminate, budget };

/// Turns a planned case into a result, on all ranks together.
class Runner {
public:
    struct Hooks {
        std::function<Stop()> stop;  ///< asked between samples, and between steps of long ones; may be empty
        std::function<void(const std::string&)> progress;  ///< a detail to show, rank 0
    };
    Runner(const BackendSet& backends, Comm& comm, Hooks hooks);

    /// Never throws what a backend throws: that is a failed result. The same verdict on every rank. Samples, memory and
    /// communication of all ranks are gathered on rank 0; elsewhere the result has the status only.
    Result run(const PlannedCase& planned);
    /// Set when a stop was asked for while a case was sampled; the case in hand is then Status::timeout, so that it is
    /// repeated.
    Stop stopped() const { return stopped_; }

private:
    void measure(const PlannedCase& planned, Result& r);
    void sample(Session& session, const Case& c, bool together, Measurement& m);
    void collect(const ResourceUse& use, bool together, const Case& c, Measurement& m);
    double verdict(bool together, bool finished);
    bool agree(bool together, bool mine) const { return together ? comm_.all(mine) : mine; }

    const BackendSet& backends_;
    Comm& comm_;
    Hooks hooks_;
    Stop stopped_ = Stop::none;
    bool ended_early_ = false;  ///< the last case, as its sample told
};

/// A case's command line, for the user to repeat it alone. `arguments` name the experiment and all that changes it.
std::string reproducer(const PlannedCase& planned, const std::string& arguments, int ranks);

}  // namespace wb
