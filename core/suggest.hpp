#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace wb {

/// Fewest insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`, no letter edited twice;
/// compared byte by byte.
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The known word a misspelt `word` was most likely meant to be; capitals do not count. Nothing if none is within a
/// third of the letters of the word; among equally near ones the first.
std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& known);

/// A hint for an error: `Did you mean "clock"?`, or `Known: a, b, c.` if nothing is near; empty if nothing is known.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& known);

/// The text in double quotes for a message: control bytes escaped, the middle of a very long text left out.
std::string in_quotes(std::string_view text);

}  // namespace wb
