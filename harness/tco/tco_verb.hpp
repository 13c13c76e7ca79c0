#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "harness/validate/verbs.hpp"

namespace wb {

/// Adds `tco`: what stored results cost.
void define_tco_verb(CLI::App& app, const VerbContext& context);
/// One line on a file that `tco --output` wrote; nothing for another one.
std::optional<std::string> tco_summary(const std::filesystem::path& path);

}  // namespace wb
