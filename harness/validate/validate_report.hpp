#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "harness/show.hpp"
#include "harness/validate/error_summary.hpp"

namespace wb {

/// Tables of errors by group and by family.
std::string error_table(const std::vector<ErrorSummary>& groups, const std::vector<ErrorSummary>& families,
                        Format format, bool colour);
/// What could not be predicted: each reason once, with how many rows and the first id.
std::string reasons_table(const std::vector<Judged>& rows, Format format, bool colour);
/// A row for each point and backend: the input columns, then backend, predicted, ratio, reason.
std::string points_csv(const std::vector<Judged>& rows);
/// {"groups": [...], "families": [...]}.
std::string errors_json(const std::vector<ErrorSummary>& groups, const std::vector<ErrorSummary>& families);
/// One line about a file of these tables; nothing if it is none.
std::optional<std::string> validation_summary(const std::filesystem::path& path);
/// Tables validation/points and validation/groups, published whole.
void write_validation(const std::filesystem::path& path, const std::vector<Judged>& rows,
                      const std::vector<ErrorSummary>& groups);

}  // namespace wb
