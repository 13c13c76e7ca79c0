#pragma once

#include <string>

#include "tests/models/fabric/script.hpp"

namespace wb::fabric::test {

/// The first difference of two runs in words; empty if there is none. Runs that did not finish need only fail alike.
/// Memory is compared where both have it: to the last bit, but any not-a-number equals another.
std::string difference(const Script& script, const Outcome& expected, const Outcome& got);

/// Name of an end.
const char* name(End end);

}  // namespace wb::fabric::test
