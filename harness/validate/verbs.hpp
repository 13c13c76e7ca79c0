#pragma once

#include <functional>

#include "core/comm.hpp"
#include "core/error.hpp"
#include "core/workload.hpp"
#include "harness/show.hpp"

namespace CLI {
class App;
}

namespace wb {

/// What the verbs take from the program around them.
struct VerbContext {
    Comm& comm;
    std::function<Files()> files;
    std::function<Format()> format;
    bool colour = false;
    std::function<Exit()>& chosen;  ///< what to carry out once the command line is read
};

/// Adds `validate` and `fit`.
void define_validation_verbs(CLI::App& app, const VerbContext& context);

}  // namespace wb
