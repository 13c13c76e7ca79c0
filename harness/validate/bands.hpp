#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/measurement.hpp"
#include "core/system.hpp"
#include "core/workload.hpp"

namespace wb {

/// How far measured times lay from those a backend predicted, over one family of workloads on one kind of system:
/// the 10th to 90th percentile of measured / predicted, of rows that no constant was fitted to.
struct BandRow {
    std::string backend, systems, family;  ///< "any" in systems or family: the parent of all
    double low = 1, high = 1;
    std::size_t rows = 0, groups = 0;
};

/// configs/validation/bands.toml.
class Bands {
public:
    Bands() = default;
    explicit Bands(std::vector<BandRow> rows) : rows_(std::move(rows)) {}
    /// Nothing where there is no file. Throws Error at file:line:column.
    static Bands read(const Files& files);

    /// The band of a number of this backend; of the nearest parent (kind of system, then family, then all) where there
    /// is none, marked so in the source. Nothing where the backend was never judged.
    std::optional<Band> of(const std::string& backend, SystemKind systems, const std::string& workload) const;
    const std::vector<BandRow>& rows() const { return rows_; }
    /// The file's text.
    std::string toml() const;

private:
    const BandRow* find(const std::string& backend, const std::string& systems, const std::string& family) const;
    std::vector<BandRow> rows_;
};

/// One prediction judged, for a band.
struct BandSample {
    std::string backend, systems, family, group;
    double factor = 1;  ///< measured / predicted time
};

/// Bands of every backend, kind of system and family with at least `fewest` samples, and of their parents.
Bands derive_bands(const std::vector<BandSample>& samples, std::size_t fewest = 4);

}  // namespace wb
