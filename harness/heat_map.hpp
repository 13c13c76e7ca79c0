#pragma once

#include <string>

#include "harness/result.hpp"
#include "harness/show.hpp"

namespace wb {

/// One grid as text, north on top: at most `height` lines of at most `width` characters, each cell a character that is
/// the denser (or, if `colour`, the brighter) the nearer its mean is to the largest one. Ends with a new line.
std::string draw(const Grid& grid, bool colour, int width = 64, int height = 32);

/// The grids of all cases whose key contains `filter`: name, mean, largest, and for people a picture of each.
std::string show_heat_maps(const ResultSet& set, Format format, bool colour, const std::string& filter = "");

}  // namespace wb
