#pragma once

#include <optional>

#include "models/fabric/simulator.hpp"
#include "tests/models/fabric/script.hpp"

namespace wb::fabric::test {

struct EngineOptions {
    bool data = true;
    int threads = 1;
    std::optional<YieldMap> defects = std::nullopt;
};

/// The script as a program for the simulator.
Program program_of(const Script& script);

/// Runs it on the simulator. Errors of running become the End they tell of; all others are thrown on.
Outcome run_engine(const Script& script, const EngineOptions& options = {});

}  // namespace wb::fabric::test
