#pragma once

#include <filesystem>
#include <string>

#include "harness/result.hpp"

namespace wb {

/// Publishes results as tables (docs/result_schema.md): /cases, /samples, /rank_samples, /spans, /memory,
/// /communication, /grids, /warnings, /heat_maps and /provenance. Throws Error with Exit::io; an older file at `path`
/// stays intact then.
void write_results(const std::filesystem::path& path, const ResultSet& set);

/// Reads a published file, or a journal (*.journal). Throws Error with Exit::baseline.
ResultSet read_results(const std::filesystem::path& path);

}  // namespace wb
