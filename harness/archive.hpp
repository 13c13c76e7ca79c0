#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "harness/journal.hpp"
#include "harness/plan.hpp"
#include "harness/result.hpp"

namespace wb {

/// The journal and the published file of one run.
class Archive {
public:
    /// `output` is a results file, or empty for results/<name>-<date>.h5. With `resume` the journal beside it (the
    /// newest of that name) goes on, else a new one begins. Throws Error: a name that is no .h5 (usage), nothing to
    /// resume or no journal of ours (baseline), locked or not writable (io).
    Archive(const std::string& output, bool resume, const std::string& name);

    const std::filesystem::path& file() const { return file_; }
    const ResultSet& set() const { return set_; }

    /// Appends one record to the journal. Throws Error (io).
    void put(const std::string& record);
    /// Rebuilds the file from all records; the last thing done to an archive.
    void publish();

private:
    std::filesystem::path file_;
    std::optional<JournalWriter> writer_;
    std::vector<std::string> records_;  // of earlier runs too; given up by publish
    ResultSet set_;
};

/// Digest of the program itself: results of another build are not the results of this one.
std::string code_fingerprint();
/// What a result must agree in to be this case's: key, graph, system file, protocol, seed and code.
std::string full_key(const PlannedCase& planned, const std::string& code);
/// The time in UTC, by a strftime pattern.
std::string utc(const char* pattern);

}  // namespace wb
