#include "core/units.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "core/suggest.hpp"

namespace wb {
namespace {

/// How people speak of a dimension, and the unit an example is written in.
struct Kind {
    Dimension dimension;
    std::string_view noun, unit, example;
};
constexpr std::array kinds{
    Kind{{}, "a plain number", "", ""},
    Kind{{1, 0, 0, 0, 0}, "a time", "seconds", "s"},
    Kind{{-1, 0, 0, 0, 0}, "a frequency", "hertz", "GHz"},
    Kind{{0, 1, 0, 0, 0}, "a size", "bytes", "GB"},
    Kind{{-1, 1, 0, 0, 0}, "a bandwidth", "bytes per second", "GB/s"},
    Kind{{0, 0, 1, 0, 0}, "an amount of work", "FLOP", "TFLOP"},
    Kind{{-1, 0, 1, 0, 0}, "a compute rate", "FLOP per second", "TFLOP/s"},
    Kind{{0, 0, 0, 1, 0}, "an energy", "joules", "J"},
    Kind{{-1, 0, 0, 1, 0}, "a power", "watts", "W"},
    Kind{{0, 0, 0, 0, 1}, "an amount of money", "US dollars", "USD"},
    Kind{{0, 0, 0, -1, 1}, "an energy price", "US dollars per joule", "USD/kWh"},
    Kind{{-1, 0, 0, 0, 1}, "a running cost", "US dollars per second", "USD/h"},
    Kind{{1, 0, 0, -1, 1}, "a price of power", "US dollars per watt", "USD/W"},
    Kind{{0, -1, 0, 0, 1}, "a price of memory", "US dollars per byte", "USD/GB"},
    Kind{{0, -1, 0, 1, 0}, "an energy per byte", "joules per byte", "pJ/B"},
    Kind{{0, 0, -1, 1, 0}, "an energy per operation", "joules per FLOP", "pJ/FLOP"},
    Kind{{0, -1, 1, 0, 0}, "an arithmetic intensity", "FLOP per byte", "FLOP/B"},
    Kind{{0, 0, 1, -1, 0}, "an energy efficiency", "FLOP per joule", "GFLOP/J"},
};

struct Base {
    std::string_view name;
    Dimension dimension;
    double times = 1;                // one of it is times / by in SI, both exact in binary, so that texts convert
    double by = 1;                   // with one rounding and "70 %" is the same double as 0.7
    std::string_view prefixes = {};  // decimal ones
    bool binary = false;             // Ki, Mi, ... too
};
constexpr std::array bases{
    Base{"s", {1, 0, 0, 0, 0}, 1, 1, "munp"},
    Base{"min", {1, 0, 0, 0, 0}, 60},
    Base{"h", {1, 0, 0, 0, 0}, 3600},
    Base{"day", {1, 0, 0, 0, 0}, 86400},
    Base{"year", {1, 0, 0, 0, 0}, 365 * 86400.0},
    Base{"B", {0, 1, 0, 0, 0}, 1, 1, "kMGTPE", true},
    Base{"b", {0, 1, 0, 0, 0}, 1, 8, "kMGTPE"},
    Base{"FLOP", {0, 0, 1, 0, 0}, 1, 1, "kMGTPEZY"},
    Base{"OP", {0, 0, 1, 0, 0}, 1, 1, "kMGTPEZY"},
    Base{"OPS", {0, 0, 1, 0, 0}, 1, 1, "kMGTPEZY"},
    Base{"Hz", {-1, 0, 0, 0, 0}, 1, 1, "kMGT"},
    Base{"W", {-1, 0, 0, 1, 0}, 1, 1, "munpkMGT"},
    Base{"J", {0, 0, 0, 1, 0}, 1, 1, "munpfkMGT"},
    Base{"Wh", {0, 0, 0, 1, 0}, 3600, 1, "kMGT"},
    Base{"USD", {0, 0, 0, 0, 1}, 1, 1, "kMG"},
    Base{"%", {}, 1, 100},
};

constexpr std::string_view big = "kMGTPEZY";
constexpr std::string_view small = "munpf";
constexpr std::string_view binary = "KMGTPE";

struct Unit {
    Dimension dimension;
    double times = 1, by = 1;
    bool bit = false;
    bool ops = false;  // written OPS, which means operations only when "/s" follows
};

double whole_power(double base, std::size_t exponent) {
    double out = 1;
    for (std::size_t i = 0; i < exponent; ++i) out *= base;
    return out;
}

std::optional<Unit> with_prefix(const Base& base, std::string_view prefix) {
    Unit unit{base.dimension, base.times, base.by, base.name == "b", base.name == "OPS"};
    if (prefix.empty()) return unit;
    if (prefix.size() == 2 && prefix[1] == 'i' && base.binary && binary.find(prefix[0]) != binary.npos) {
        unit.times *= whole_power(1024, binary.find(prefix[0]) + 1);
        return unit;
    }
    if (prefix.size() != 1 || base.prefixes.find(prefix[0]) == base.prefixes.npos) return std::nullopt;
    if (const auto up = big.find(prefix[0]); up != big.npos)
        unit.times *= whole_power(1000, up + 1);
    else
        unit.by *= whole_power(1000, small.find(prefix[0]) + 1);
    return unit;
}

std::optional<Unit> simple_unit(std::string_view text) {
    for (const Base& base : bases) {
        if (!text.ends_with(base.name)) continue;
        if (auto unit = with_prefix(base, text.substr(0, text.size() - base.name.size()))) return unit;
    }
    return std::nullopt;
}

std::optional<Unit> resolve(std::string_view text) {
    std::size_t slash = text.find('/');
    auto unit = simple_unit(text.substr(0, slash));
    if (!unit || (unit->ops && text.substr(std::min(slash, text.size())) != "/s")) return std::nullopt;
    while (slash != text.npos) {
        const std::size_t start = slash + 1;
        slash = text.find('/', start);
        const auto below = simple_unit(text.substr(start, slash == text.npos ? slash : slash - start));
        if (!below || below->ops) return std::nullopt;
        unit->dimension = unit->dimension - below->dimension;
        unit->times *= below->by;
        unit->by *= below->times;
        unit->bit = unit->bit || below->bit;
    }
    return unit;
}

constexpr Dimension per_second{-1, 0, 0, 0, 0};
constexpr Dimension byte{0, 1, 0, 0, 0};

bool bits_allowed(const Unit& unit) { return !unit.bit || unit.dimension == byte + per_second; }

bool fits(std::string_view unit, Dimension expected) {
    const auto resolved = resolve(unit);
    return resolved && resolved->dimension == expected && bits_allowed(*resolved);
}

std::vector<std::string> simple_units() {
    std::vector<std::string> out;
    for (const Base& base : bases) {
        if (base.name == "OPS") continue;
        out.emplace_back(base.name);
        for (const char prefix : base.prefixes) out.push_back(prefix + std::string(base.name));
        for (const char prefix : binary) {
            if (base.binary) out.push_back(std::string{prefix, 'i'} + std::string(base.name));
        }
    }
    return out;
}

std::vector<std::string> units_of(Dimension expected) {
    const auto simple = simple_units();
    std::vector<std::string> out;
    for (const auto& unit : simple) {
        if (fits(unit, expected)) out.push_back(unit);
    }
    if (expected == Dimension{}) return out;
    for (const auto& above : simple) {
        for (const auto& below : {"s", "h", "day", "year", "B", "GB", "GiB", "FLOP", "J", "kWh", "W", "kW"}) {
            if (fits(above + "/" + below, expected)) out.push_back(above + "/" + below);
        }
    }
    return out;
}

const Kind* kind_of(Dimension dimension) {
    const auto* found =
        std::find_if(kinds.begin(), kinds.end(), [&](const Kind& k) { return k.dimension == dimension; });
    return found == kinds.end() ? nullptr : found;
}

std::string si_unit(Dimension d) {
    std::string above, below;
    const auto add = [&](int exponent, std::string_view name) {
        for (int i = 0; i < exponent; ++i) above += (above.empty() ? "" : " ") + std::string(name);
        for (int i = 0; i > exponent; --i) below += "/" + std::string(name);
    };
    add(d.u, "USD"), add(d.f, "FLOP"), add(d.b, "B"), add(d.j, "J"), add(d.s, "s");
    return (above.empty() ? "1" : above) + below;
}

std::string noun(Dimension d) { return kind_of(d) ? std::string(kind_of(d)->noun) : "an amount in " + si_unit(d); }

/// "a bandwidth is in bytes per second"
std::string rule(Dimension d) {
    if (d == Dimension{}) return "a plain number has no unit";
    const Kind* kind = kind_of(d);
    return kind ? fmt::format("{} is in {}", kind->noun, kind->unit)
                : fmt::format("the unit must amount to {}", si_unit(d));
}

std::string example_unit(Dimension d) { return kind_of(d) ? std::string(kind_of(d)->example) : si_unit(d); }

std::string advice(Dimension d) {
    return fmt::format("Write it like \"{}\"{}.", example(d), d == Dimension{} ? " or \"70 %\"" : "");
}

/// A number and the text behind it.
struct Split {
    std::string number, unit;
    double value = 0;
};

/// The amount under the reader's eyes, for messages.
struct Reading {
    std::string_view text;
    Dimension expected;
    [[noreturn]] void fail(const std::string& problem, const std::string& why, const std::string& hint) const {
        throw UnitProblem({"", in_quotes(text) + " " + problem, why, hint});
    }
};

std::string_view trimmed(std::string_view text) {
    const auto first = text.find_first_not_of(" \t");
    if (first == text.npos) return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

Split split(const Reading& reading) {
    std::string_view text = trimmed(reading.text);
    if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
    Split out;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), out.value);
    const std::string what = reading.expected == Dimension{} ? "is not a number" : "is not a number with a unit";
    if (failure == std::errc::invalid_argument) reading.fail(what, rule(reading.expected), advice(reading.expected));
    if (failure == std::errc::result_out_of_range) {
        reading.fail("is a number too large or too small to keep", "numbers reach from 1e-307 to 1e308", "");
    }
    if (!std::isfinite(out.value)) reading.fail("is not a finite number", rule(reading.expected), "");
    out.number = std::string(text.data(), end);
    out.unit = std::string(trimmed(text.substr(out.number.size())));
    if (out.unit.starts_with(',')) {
        reading.fail("has a comma in its number", "decimals start with a point", "Write \"1.5\", not \"1,5\".");
    }
    return out;
}

/// Spellings seen elsewhere, and ours; each a whole unit.
constexpr std::array<std::pair<std::string_view, std::string_view>, 21> elsewhere{{
    {"sec", "s"},      {"second", "s"},      {"seconds", "s"}, {"msec", "ms"},    {"usec", "us"}, {"\u00b5s", "us"},
    {"\u03bcs", "us"}, {"minutes", "min"},   {"hr", "h"},      {"hour", "h"},     {"hours", "h"}, {"d", "day"},
    {"days", "day"},   {"y", "year"},        {"yr", "year"},   {"years", "year"}, {"bytes", "B"}, {"byte", "B"},
    {"$", "USD"},      {"$/kWh", "USD/kWh"}, {"$/h", "USD/h"},
}};

/// Units of the expected dimension that an unknown one may have meant, the likeliest only; may be empty.
std::vector<std::string> meant(const std::string& unit, Dimension expected) {
    std::vector<std::string> guesses;
    for (const auto& [theirs, ours] : elsewhere) {
        if (unit == theirs) guesses.emplace_back(ours);
    }
    if (unit.ends_with("ps")) guesses.push_back(unit.substr(0, unit.size() - 2) + "/s");
    if (unit.ends_with("S")) guesses.push_back(unit.substr(0, unit.size() - 1) + "/s");
    if (unit.starts_with("KB")) guesses.insert(guesses.end(), {"k" + unit.substr(1), "Ki" + unit.substr(1)});
    std::erase_if(guesses, [&](const std::string& guess) { return !fits(guess, expected); });
    if (!guesses.empty()) return guesses;
    const auto units = units_of(expected);
    const auto low = [](unsigned char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; };
    for (const auto& known : units) {
        if (std::equal(unit.begin(), unit.end(), known.begin(), known.end(),
                       [&](char a, char b) { return low(a) == low(b); }))
            guesses.push_back(known);
    }
    if (guesses.empty()) {
        if (const auto near = nearest(unit, units)) guesses.push_back(*near);
    }
    return guesses;
}

[[noreturn]] void fail_unknown(const Reading& reading, const Split& parts) {
    const auto guesses = meant(parts.unit, reading.expected);
    std::string hint;
    for (const auto& guess : guesses)
        hint += fmt::format("{}\"{} {}\"", hint.empty() ? "" : " or ", parts.number, guess);
    hint = hint.empty() ? advice(reading.expected) : "Did you mean " + hint + "?";
    reading.fail("has the unknown unit " + in_quotes(parts.unit), rule(reading.expected), hint);
}

[[noreturn]] void fail_dimension(const Reading& reading, const Split& parts, Dimension found) {
    const std::string shorter = parts.unit.substr(0, parts.unit.find('/'));
    std::string hint = advice(reading.expected);
    for (const auto& unit : {parts.unit + "/s", parts.unit + "/kWh", shorter}) {
        if (reading.expected == Dimension{} || !fits(unit, reading.expected)) continue;
        hint = fmt::format("Did you mean \"{} {}\"?", parts.number, unit);
    }
    reading.fail(fmt::format("is {}, not {}", noun(found), noun(reading.expected)), rule(reading.expected), hint);
}

[[noreturn]] void fail_bits(const Reading& reading, const Split& parts) {
    std::string bytes = parts.unit;
    std::replace(bytes.begin(), bytes.end(), 'b', 'B');
    const std::string why = "b is a bit, 8 times less than the byte B, and is for rates such as Gb/s only";
    if (reading.expected != byte) reading.fail("is in bits", why, fmt::format("Give it per byte, in {}.", bytes));
    const std::string eighth = fmt::format("{}", parts.value / 8);
    reading.fail("is in bits", why,
                 fmt::format("Write \"{} {}\", or \"{} {}\" if bits are meant.", parts.number, bytes, eighth, bytes));
}

}  // namespace

std::string describe(Dimension dimension) {
    const Kind* kind = kind_of(dimension);
    if (!kind) return noun(dimension);
    return kind->unit.empty() ? std::string(kind->noun) : fmt::format("{} in {}", kind->noun, kind->unit);
}

std::string example(Dimension d) { return d == Dimension{} ? "0.7" : "1 " + example_unit(d); }

double parse_quantity(std::string_view text, Dimension expected) {
    const Reading reading{text, expected};
    if (trimmed(text).empty()) throw UnitProblem({"", "the text is empty", rule(expected), advice(expected)});
    const Split parts = split(reading);
    Unit unit;
    if (!parts.unit.empty()) {
        const auto found = resolve(parts.unit);
        if (!found) fail_unknown(reading, parts);
        if (found->dimension != expected) fail_dimension(reading, parts, found->dimension);
        if (!bits_allowed(*found)) fail_bits(reading, parts);
        unit = *found;
    } else if (parts.value != 0 && expected != Dimension{}) {
        reading.fail("has no unit", rule(expected),
                     fmt::format("Write \"{} {}\".", parts.number, example_unit(expected)));
    }
    const bool signed_amount = expected == Dimension{} || expected == Dimension{0, 0, 0, 0, 1};
    if (parts.value < 0 && !signed_amount) reading.fail("is negative", noun(expected) + " is never below zero", "");
    const double si = parts.value * unit.times / unit.by;
    if (!std::isfinite(si)) reading.fail("is too large to keep", "numbers reach up to 1e308", "");
    return si + 0.0;  // no negative zero
}

namespace {

/// What remains of a number written with three significant digits, so that 999.7 goes on as 1000.
double rounded(double value) {
    const std::string digits = fmt::format("{:.2e}", value);
    double out = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), out);
    return out;
}

std::string three_digits(double value, std::string_view unit) {
    const double size = rounded(std::abs(value));
    if (size < 1e-3 || size >= 1e6) return fmt::format("{:.2e} {}", value, unit);
    const int decimals = std::max(0, 2 - static_cast<int>(std::floor(std::log10(size))));
    return fmt::format("{:.{}f} {}", value, decimals, unit);
}

constexpr std::string_view ladder = "fpnum kMGTPEZY";  // one thousand apart, around the blank

/// With the largest prefix between `lowest` and `highest` whose unit is not above the amount.
std::string prefixed(double si, std::string_view unit, char lowest, char highest) {
    if (std::isnan(si)) return "-";
    if (si == 0 || std::isinf(si)) return fmt::format("{} {}", si == 0 ? 0.0 : si, unit);
    const auto scaled = [si](std::size_t rung) {
        return rung < ladder.find(' ') ? si * whole_power(1000, ladder.find(' ') - rung)
                                       : si / whole_power(1000, rung - ladder.find(' '));
    };
    std::size_t rung = ladder.find(lowest);
    while (ladder[rung] != highest && rounded(std::abs(scaled(rung + 1))) >= 1) ++rung;
    if (ladder[rung] == ' ') return three_digits(si, unit);
    return three_digits(scaled(rung), ladder[rung] + std::string(unit));
}

bool few_and_whole(double count) { return std::abs(count) < 1000 && count == std::floor(count); }

}  // namespace

std::string format(Seconds time) {
    // Minutes and longer begin at two of them: "90.0 s" reads better than "1.50 min".
    const double size = rounded(std::abs(time.si()));
    if (!std::isfinite(size) || size < 120) return prefixed(time.si(), "s", 'p', ' ');
    for (const auto& [unit, length] : {std::pair{"year", 365 * 86400.0}, {"day", 86400.0}, {"h", 3600.0}}) {
        if (size >= 2 * length) return three_digits(time.si() / length, unit);
    }
    return three_digits(time.si() / 60, "min");
}

std::string format(Bytes size) {
    return few_and_whole(size.si()) ? fmt::format("{:.0f} B", size.si() + 0.0) : prefixed(size.si(), "B", ' ', 'E');
}
std::string format(Flops work) {
    return few_and_whole(work.si()) ? fmt::format("{:.0f} FLOP", work.si() + 0.0)
                                    : prefixed(work.si(), "FLOP", ' ', 'Y');
}
std::string format(BytesPerSecond bandwidth) { return prefixed(bandwidth.si(), "B/s", ' ', 'E'); }
std::string format(FlopsPerSecond rate) { return prefixed(rate.si(), "FLOP/s", ' ', 'Z'); }
std::string format(Hertz frequency) { return prefixed(frequency.si(), "Hz", ' ', 'T'); }
std::string format(Watts power) { return prefixed(power.si(), "W", 'n', 'T'); }
std::string format(Joules energy) { return prefixed(energy.si(), "J", 'f', 'T'); }
std::string format(Usd money) { return prefixed(money.si(), "USD", ' ', 'G'); }

}  // namespace wb
