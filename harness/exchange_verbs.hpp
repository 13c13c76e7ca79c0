#pragma once

#include "harness/validate/verbs.hpp"

namespace wb {

/// Adds `import` and `export`: results from and to other programs' files.
void define_exchange_verbs(CLI::App& app, const VerbContext& context);

}  // namespace wb
