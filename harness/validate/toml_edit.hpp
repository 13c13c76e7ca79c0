#pragma once

#include <string>

namespace wb {

/// The text of a TOML file with the value of one constant replaced, in the unit it is written in and all else as it
/// was: `key = { value = 3, ... }`, or `key.value = 3`, below `[table]`. Five significant digits. `stored` is what the
/// file's value means in SI. Throws Error if there is no such line, or if the value is an alternative of an option.
std::string with_constant(const std::string& text, const std::string& file, const std::string& table,
                          const std::string& key, double stored, double value);

}  // namespace wb
