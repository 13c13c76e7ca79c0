#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "harness/hdf5_file.hpp"

namespace wb {

/// Publishes a results file atomically: it is built in memory, written aside as `path`.tmp.<pid>, synced, read back and
/// verified, renamed over `path`, and the directory synced. Whoever opens `path` sees the old file or the new one,
/// whole. On any failure the old file is untouched, nothing is left beside it, and Error is thrown: Exit::io (full
/// disk, no permission, wrong bytes read back), or whatever `build` throws.
void publish(const std::filesystem::path& path, const std::function<void(Hdf5Writer&)>& build);

/// The same steps for bytes of any kind, such as a report; `check`, if given, throws Error when the file aside is
/// wrong.
void replace_file(const std::filesystem::path& path, std::span<const std::byte> bytes,
                  const std::function<void(const std::filesystem::path& aside)>& check = {});

/// What is wrong with a published file, one sentence each; empty: complete and valid. Never throws on a bad file.
/// Checked: seal, opens, schema version, closed = 1, record count, every digest, no object missing or added, equal
/// column lengths, units on every column of numbers, kind on every column.
std::vector<std::string> verify(const std::filesystem::path& path);

}  // namespace wb
