#pragma once

#include <functional>

#include "core/comm.hpp"
#include "core/graph.hpp"

namespace wb {

/// A session whose run may end before its end: because it is long and somebody asks, or because there is no more to do.
class Interruptible {
public:
    virtual ~Interruptible() = default;
    /// `asked` is asked after every step, on every rank; if it says yes on one, the run ends on all, with a problem.
    void stop_when(std::function<bool()> asked) { asked_ = std::move(asked); }
    /// The composition as far as the last run came: each phase as often as it was run.
    virtual Graph performed() const = 0;

protected:
    /// Collective.
    bool asked(Comm& comm) const { return asked_ && comm.max(asked_() ? 1 : 0) > 0; }

private:
    std::function<bool()> asked_;
};

}  // namespace wb
