#include "harness/tco/assumption.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>

#include "core/suggest.hpp"

namespace wb::tco {
namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr Dimension plain{}, time{1, 0, 0, 0, 0}, rate{-1, 0, 0, 0, 0}, watts{-1, 0, 0, 1, 0}, usd{0, 0, 0, 0, 1},
    usd_s{-1, 0, 0, 0, 1}, usd_watt{1, 0, 0, -1, 1}, usd_watt_s{0, 0, 0, -1, 1}, bytes{0, 1, 0, 0, 0},
    usd_byte{0, -1, 0, 0, 1};

/// A text in another currency: an exchange rate is a number with a date of its own, which nobody gave.
std::string foreign_currency(const std::string& text) {
    static constexpr std::array codes{"EUR", "GBP", "CNY", "RMB", "JPY", "CHF", "INR", "KRW", "CAD",
                                      "AUD", "TWD", "AED", "SAR", "BRL", "€",   "£",   "¥",   "₹"};
    for (const char* code : codes)
        if (text.find(code) != std::string::npos) return code;
    return "";
}

[[noreturn]] void refuse(const std::string& place, const std::string& problem, const std::string& why,
                         const std::string& hint) {
    throw Error({place, problem, why, hint});
}

double amount_of(const std::string& text, const AssumptionKind& kind, const std::string& place) {
    if (const std::string code = foreign_currency(text); !code.empty())
        refuse(place, fmt::format("{} is in {}", in_quotes(text), code),
               "amounts are US dollars; a rate of exchange would be a guess",
               "Convert it, and say rate and date in note.");
    try {
        return parse_quantity(text, kind.dimension);
    } catch (const UnitProblem& p) {
        throw p.at(place);
    }
}

void check_limits(const Assumption& a, const AssumptionKind& kind) {
    for (const double v : {a.low, a.mode, a.high}) {
        const bool below = kind.least_excluded ? !(v > kind.least) : !(v >= kind.least);
        if (!below && v <= kind.most) continue;
        if (kind.name == "life" || kind.name == "facility_life")
            refuse(a.place, fmt::format("{} is {}", a.key, a.text), "nothing can be paid for in no time",
                   "Write the years it is used, such as \"4 year\".");
        const std::string range = kind.most == inf
                                      ? fmt::format("{} {}", kind.least_excluded ? "above" : "at least", kind.least)
                                      : fmt::format("from {} to {}", kind.least, kind.most);
        refuse(a.place, fmt::format("{} is {}", a.key, a.text), fmt::format("{}: it must be {}", kind.about, range),
               "");
    }
    if (a.low > a.mode || a.mode > a.high)
        refuse(a.place, fmt::format("{} has low, mode and high out of order", a.key),
               "a range begins at its low end and holds its likeliest value", "Swap them.");
}

double value_at(const Config& table, const char* which, const AssumptionKind& kind, std::string& text) {
    const Value v = table.value(which);
    const std::string place = table.where(which);
    if (const auto* s = v.as<std::string>()) {
        text = *s;
        return amount_of(*s, kind, place);
    }
    text = to_text(v);
    double number = 0;
    if (const auto* i = v.as<std::int64_t>())
        number = static_cast<double>(*i);
    else if (const auto* d = v.as<double>())
        number = *d;
    else
        refuse(place, fmt::format("{} is no number", text), kind.about, "");
    if (!std::isfinite(number)) refuse(place, fmt::format("{} is {}", which, text), kind.about, "Write a number.");
    if (kind.dimension != plain && number != 0)
        refuse(place, fmt::format("{} has no unit", text), describe(kind.dimension),
               fmt::format("Write \"{}\".", example(kind.dimension)));
    return number;
}

std::string source_at(const Config& table, const Sources& sources) {
    const std::string name = table.text("source");
    const auto known = sources.find(name);
    if (known != sources.end()) return known->second;
    if (name.find(' ') != std::string::npos || name.find("://") != std::string::npos) return name;
    std::vector<std::string> names;
    for (const auto& [key, text] : sources) names.push_back(key);
    throw table.error("source", fmt::format("{} is no source of this file", in_quotes(name)),
                      "every number says where it comes from", did_you_mean(name, names));
}

Trust trust_at(const Config& table) {
    const std::string word = table.choice("confidence", {"high", "medium", "low", "recalled", "assumption"});
    return word == "high"       ? Trust::high
           : word == "medium"   ? Trust::medium
           : word == "low"      ? Trust::low
           : word == "recalled" ? Trust::recalled
                                : Trust::assumption;
}

std::string trimmed(const std::string& text) {
    const auto first = text.find_first_not_of(' '), last = text.find_last_not_of(' ');
    return first == std::string::npos ? "" : text.substr(first, last - first + 1);
}

}  // namespace

const std::vector<AssumptionKind>& assumption_kinds() {
    static const std::vector<AssumptionKind> all{
        {"price", usd, true, 0, inf, false, "price of one unit"},
        {"host", usd, true, 0, inf, false, "host of one unit, where the price is without"},
        {"network", usd, true, 0, inf, false, "network of one unit, where it is no share of the cluster"},
        {"cooling", usd, true, 0, inf, false, "cooling equipment of one unit, where the hall does not bring it"},
        {"power", watts, true, 0, inf, true, "provisioned power of one unit with its share of the host"},
        {"space", plain, true, 0, inf, true, "rack units one unit takes"},
        {"rack", watts, true, 0, inf, true, "power a rack of it may draw, where it brings its own"},
        {"mtbf", time, true, 0, inf, true, "mean time between failures of one unit with its share of the host"},
        {"replaced", rate, true, 0, 1.0 / (365 * 86400), false, "units that fail for good, at most 100 % a year"},
        {"rent", usd_s, true, 0, inf, true, "of one unit for an hour, on demand"},
        {"port", time, true, 0, inf, false, "developer time to make the work run"},
        {"tune", time, true, 0, inf, false, "developer time to make it fast"},
        {"debug", time, true, 0, inf, false, "developer time to make it right"},
        {"upkeep", plain, true, 0, 1e4, false, "developers (full-time) who keep it running"},
        {"discount", rate, false, 0, 1.0 / (365 * 86400), false, "cost of capital, at most 100 % a year"},
        {"life", time, false, 0, inf, true, "years of use that pay for a machine"},
        {"salvage", plain, false, 0, 1, false, "part of the price kept each year"},
        {"pue", plain, false, 1, 10, false, "power of the hall over power of the machines"},
        {"electricity", usd_watt_s, false, 0, inf, false, "price of energy"},
        {"load", plain, false, 0, 1, false, "average over provisioned power"},
        {"colocation", usd_watt_s, false, 0, inf, false, "rent of a hall"},
        {"facility", usd_watt, false, 0, inf, false, "price of a hall"},
        {"facility_life", time, false, 0, inf, true, "years of use that pay for a hall"},
        {"maintenance", rate, false, 0, 1.0 / (365 * 86400), false,
         "support, of what was bought, at most 100 % a year"},
        {"unwarranted", plain, false, 0, 1, false, "part of failing units the owner replaces"},
        {"repair", time, false, 0, inf, false, "until a failed unit works again"},
        {"spares", plain, false, 0, 1, false, "units that stand by, of those in use"},
        {"restart", time, false, 0, inf, false, "of a training job after a failure"},
        {"checkpoint", time, false, 0, inf, true, "that training stands still for one checkpoint"},
        {"storage", usd_byte, false, 0, inf, false, "price of storage"},
        {"storage_size", bytes, false, 0, inf, false, "storage of a unit"},
        {"cluster", plain, false, 1, 1e7, false, "nodes of the whole cluster"},
        {"operated", plain, false, 0, inf, true, "nodes one operator keeps running"},
        {"operator_wage", usd_s, false, 0, inf, false, "wage of an operator"},
        {"developer_wage", usd_s, false, 0, inf, false, "wage of a developer"},
        {"loading", plain, false, 1, 10, false, "pay with benefits over wage"},
        {"work_year", time, false, 0, 365 * 86400.0, true, "hours a developer works in a year"},
        {"utilisation", plain, false, 0, 1, true, "part of the paid hours that do valid work"},
        {"swing", plain, false, 0, 1, false, "of the demand over a day, around its mean"},
        {"burst", plain, false, 1, 1000, false, "demand in a burst over demand without"},
        {"burst_time", plain, false, 0, 1, false, "part of the time that is a burst"},
        {"rack_height", plain, false, 0, 100, true, "rack units of a rack"},
        {"rack_power", watts, false, 0, inf, true, "power a rack may draw"},
        {"rack_area", plain, false, 0, 100, true, "square metres of floor for a rack"},
        {"network.NODES", plain, false, 0, 0.9, false, "part of a cluster of so many nodes that its network costs"}};
    return all;
}

std::int64_t network_nodes(const std::string& key) {
    if (!key.starts_with("network.")) return 0;
    std::int64_t nodes = 0;
    const char* end = key.data() + key.size();
    const auto [stop, code] = std::from_chars(key.data() + 8, end, nodes);
    return code == std::errc() && stop == end && nodes > 0 ? nodes : 0;
}

const AssumptionKind* kind_of(const std::string& key) {
    const auto point = key.find('.');
    const std::string name = network_nodes(key) > 0 ? "network.NODES" : key.substr(0, point);
    for (const AssumptionKind& k : assumption_kinds())
        if (k.name == name && (k.of_device == (point != std::string::npos) || network_nodes(key) > 0)) return &k;
    return nullptr;
}

Assumption read_assumption(const Config& table, const std::string& key, const Sources& sources) {
    const AssumptionKind* kind = kind_of(key);
    WB_EXPECT(kind);
    Assumption a;
    a.key = key;
    a.place = table.where("mode");
    std::string low, mode, high;
    a.mode = a.low = a.high = value_at(table, "mode", *kind, mode);
    if (table.has("low")) a.low = value_at(table, "low", *kind, low);
    if (table.has("high")) a.high = value_at(table, "high", *kind, high);
    a.text = (low.empty() ? "" : low + " .. ") + mode + (high.empty() ? "" : " .. " + high);
    a.source = source_at(table, sources);
    a.trust = trust_at(table);
    a.date = table.text("date");
    if (!days_between(a.date, a.date))
        throw table.error("date", fmt::format("{} is no date", in_quotes(a.date)), "how old a number is must be known",
                          "Write \"2026-01-31\".");
    a.note = table.text_or("note", "");
    check_limits(a, *kind);
    return a;
}

Assumption set_assumption(const std::string& key, const std::string& text) {
    const AssumptionKind* kind = kind_of(key);
    WB_EXPECT(kind);
    std::vector<std::string> parts;
    std::size_t at = 0;
    for (std::size_t dots; (dots = text.find("..", at)) != std::string::npos; at = dots + 2)
        parts.push_back(trimmed(text.substr(at, dots - at)));
    parts.push_back(trimmed(text.substr(at)));
    Assumption a;
    a.key = key;
    a.text = text;
    a.place = "--set " + key;
    if (parts.size() > 3)
        refuse(a.place, fmt::format("{} has more than three values", in_quotes(text)), "low, mode and high",
               "Write \"low .. mode .. high\".");
    std::vector<double> v;
    for (const std::string& p : parts) v.push_back(amount_of(p, *kind, a.place));
    a.low = v.front();
    a.high = v.back();
    a.mode = v.size() == 3 ? v[1] : v.size() == 2 ? (v[0] + v[1]) / 2 : v[0];
    a.source = "given with --set";
    a.trust = Trust::high;
    check_limits(a, *kind);
    return a;
}

std::optional<long> days_between(const std::string& date, const std::string& today) {
    const auto days = [](const std::string& text) -> std::optional<long> {
        int y = 0;
        unsigned m = 0, d = 0;
        const char* c = text.data();
        if (text.size() != 10 || text[4] != '-' || text[7] != '-' || std::from_chars(c, c + 4, y).ptr != c + 4 ||
            std::from_chars(c + 5, c + 7, m).ptr != c + 7 || std::from_chars(c + 8, c + 10, d).ptr != c + 10)
            return std::nullopt;
        const std::chrono::year_month_day ymd{std::chrono::year(y), std::chrono::month(m), std::chrono::day(d)};
        if (!ymd.ok()) return std::nullopt;
        return std::chrono::sys_days(ymd).time_since_epoch().count();
    };
    const auto from = days(date), to = days(today);
    if (!from || !to) return std::nullopt;
    return *to - *from;
}

bool stale(const Assumption& a, const std::string& today) {
    const AssumptionKind* kind = kind_of(a.key);
    if (!kind || kind->dimension.u == 0 || a.date.empty()) return false;
    const auto days = days_between(a.date, today);
    return days && *days > stale_days;
}

}  // namespace wb::tco
