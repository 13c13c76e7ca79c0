#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/config.hpp"
#include "core/units.hpp"

namespace wb::tco {

/// How far a number can be relied on. The last two are shown beside every number built on them.
enum class Trust : std::uint8_t { high, medium, low, recalled, assumption };

/// One number a cost is built on: a range with the likeliest value, and where it comes from.
struct Assumption {
    std::string key;                     ///< "pue", "price.DEVICE"
    double low = 0, mode = 0, high = 0;  ///< SI: s, B, J, USD, and what they make
    std::string text;                    ///< as written: "26 USD .. 30 USD .. 40 USD"
    std::string source, date, note;      ///< date: YYYY-MM-DD
    Trust trust = Trust::assumption;
    std::string place;  ///< file:line:column
};

/// What may be assumed: the one list of names, dimensions and limits.
struct AssumptionKind {
    std::string name;
    Dimension dimension;
    bool of_device = false;      ///< one for each device: its key is "name.device"
    double least = 0, most = 0;  ///< allowed range, SI; both ends belong to it
    bool least_excluded = false;
    std::string about;
};
const std::vector<AssumptionKind>& assumption_kinds();
/// Of a key, with or without a device; nullptr if it names none.
const AssumptionKind* kind_of(const std::string& key);
/// Nodes of a key "network.2048"; 0 for other keys.
std::int64_t network_nodes(const std::string& key);

/// Sources of one file by their short names.
using Sources = std::map<std::string, std::string>;

/// Reads the table of one assumption. Throws Error with its place: no unit, not a number, outside the limits, another
/// currency, low > mode or mode > high, no source, a date that is none.
Assumption read_assumption(const Config& table, const std::string& key, const Sources& sources);

/// What `--set key=text` means: one value, or "low .. high" or "low .. mode .. high". Throws Error at `--set key`.
Assumption set_assumption(const std::string& key, const std::string& text);

/// Days from `date` to `today`, both YYYY-MM-DD; negative if later. Nothing for what is no date.
std::optional<long> days_between(const std::string& date, const std::string& today);

/// Amounts older than this many days are stale: prices move faster.
inline constexpr long stale_days = 180;
/// Whether it is an amount of money whose date is too long ago.
bool stale(const Assumption& a, const std::string& today);

}  // namespace wb::tco
