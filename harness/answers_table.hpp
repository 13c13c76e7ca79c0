#pragma once

#include <string>

#include "harness/show.hpp"

namespace wb {

/// What generations were asked and answered, in words. Empty if no result has any.
std::string show_answers(const ResultSet& set, Format format, bool colour, const std::string& filter = "");

}  // namespace wb
