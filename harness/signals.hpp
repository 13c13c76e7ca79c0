#pragma once

#include "harness/runner.hpp"

namespace wb {

/// From construction on, the first Ctrl-C or SIGTERM asks the run to stop after the record in hand; a second Ctrl-C
/// ends the process as usual. SIGXFSZ and SIGPIPE become ordinary write errors.
class Signals {
public:
    Signals();
    ~Signals();
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;

    Stop asked() const;
};

}  // namespace wb
