#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
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
    /// Systems with enough rows of the family to be judged by it; of family "any": with enough of half the families.
    std::vector<std::string> judged = {};
};

/// The same of systems the model had seen no measurement of: each by the constants of its relatives, as a system
/// nothing was published on has to be. Every system weighs the same. Never narrower than the band of the judged ones,
/// and where fewer than four systems were left out not narrower than that of all families either.
struct UnseenRow {
    std::string backend, systems, family;
    double low = 1, high = 1;
    std::size_t rows = 0, left_out = 0;  ///< predictions, and the systems they are of
};

/// configs/validation/bands.toml.
class Bands {
public:
    Bands() = default;
    explicit Bands(std::vector<BandRow> rows, std::vector<UnseenRow> unseen = {})
        : rows_(std::move(rows)), unseen_(std::move(unseen)) {}
    /// Nothing where there is no file. Throws Error at file:line:column.
    static Bands read(const Files& files);

    /// The band of a number of this backend. Of the nearest parent (kind of system, then family, then all) where the
    /// family has none: the source then begins with "extrapolated". A system that was not judged in this family gets
    /// the wider one of unseen systems: the source then begins with "unseen". Nothing where the backend was never
    /// judged.
    std::optional<Band> of(const std::string& backend, const std::string& system, SystemKind kind,
                           const std::string& workload) const;
    const std::vector<BandRow>& rows() const { return rows_; }
    const std::vector<UnseenRow>& unseen() const { return unseen_; }
    /// The file's text.
    std::string toml() const;

private:
    std::vector<BandRow> rows_;
    std::vector<UnseenRow> unseen_;
};

/// Whether a band is that of an unseen system, or of a parent: by its source, the only thing results keep of it.
bool is_unseen(const Band& band);
bool is_extrapolated(const Band& band);
/// Whether one family of measurements judges both workloads, or phases.
bool same_family(const std::string& a, const std::string& b);
/// The band of work that is made of parts, which all err to the same side: each with its weight. The source says what
/// is weak in a tenth of it or more.
Band joined(const std::vector<std::pair<double, Band>>& parts);

/// One prediction judged, for a band.
struct BandSample {
    std::string backend, systems, family, group, system;
    double factor = 1;  ///< measured / predicted time
};

/// Bands of every backend, kind of system and family with at least `fewest` samples, and of their parents. A system is
/// judged by one row less than `fewest`.
Bands derive_bands(const std::vector<BandSample>& samples, const std::vector<BandSample>& unseen = {},
                   std::size_t fewest = 4);

}  // namespace wb
