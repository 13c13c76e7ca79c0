#pragma once

#include <string>

#include "harness/hdf5_file.hpp"
#include "harness/result.hpp"

namespace wb {

/// A result without what is long and stands in tables of its own: boxes of timelines, values of series.
Result brief(Result result);
/// Puts them back into results whose records came without them, as they do since schema 1.4. Throws Error
/// (Exit::baseline), with `place`, for rows of a case that is not there.
void read_rows(const Hdf5Reader& file, const std::string& place, ResultSet& set);

}  // namespace wb
