#pragma once

#include "harness/validate/verbs.hpp"

namespace wb {

/// Adds `tokenize`: a text file to a dataset that experiments name as data.
void define_tokenize_verb(CLI::App& app, const VerbContext& context);

}  // namespace wb
