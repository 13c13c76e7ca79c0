#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "core/error.hpp"
#include "core/quantity.hpp"

namespace wb {

/// Exponents of second, byte, flop, joule and US dollar; all zero is a plain number.
struct Dimension {
    int s = 0, b = 0, f = 0, j = 0, u = 0;
    constexpr bool operator==(const Dimension&) const = default;
};
constexpr Dimension operator+(Dimension x, Dimension y) {
    return {x.s + y.s, x.b + y.b, x.f + y.f, x.j + y.j, x.u + y.u};
}
constexpr Dimension operator-(Dimension x, Dimension y) {
    return {x.s - y.s, x.b - y.b, x.f - y.f, x.j - y.j, x.u - y.u};
}

template <class Q>
inline constexpr Dimension dimension_of = Q::no_dimension_known;
template <>
inline constexpr Dimension dimension_of<double> = {};
template <int S, int B, int F, int J, int U>
inline constexpr Dimension dimension_of<Quantity<S, B, F, J, U>> = {S, B, F, J, U};

/// For people: "a bandwidth in bytes per second".
std::string describe(Dimension dimension);
/// An amount as one would write it: "1 GB/s"; "0.7" for a plain number.
std::string example(Dimension dimension);

/// A text that is no amount of the dimension asked for. An Error without a place; who knows the place throws
/// `at(place)`.
class UnitProblem : public Error {
public:
    explicit UnitProblem(Parts parts) : Error(parts), parts_(std::move(parts)) {}
    const Parts& parts() const noexcept { return parts_; }
    /// The same mistake, told with the place where it stands.
    Error at(std::string place) const {
        Parts parts = parts_;
        parts.place = std::move(place);
        return Error(parts, code());
    }

private:
    Parts parts_;
};

/// The SI value of "number unit", such as "900 GB/s", "0.5 s", "64 KiB", "0.08 USD/kWh", "70 %". A unit is exact about
/// capitals; units combine as unit/unit; the bit exists only in rates (Gb/s). Zero may stand without a unit, and a
/// plain number (all exponents zero) must. A year is 365 days. Always finite; negative only for money and plain
/// numbers. Throws UnitProblem.
double parse_quantity(std::string_view text, Dimension expected);

/// As `parse_quantity`, by type: `parse<BytesPerSecond>("900 GB/s")`, `parse<double>("70 %")`. Throws UnitProblem.
template <class Q>
Q parse(std::string_view text) {
    return Q(parse_quantity(text, dimension_of<Q>));
}

/// Three significant digits and the prefix that fits ("1.50 GB", "321 GFLOP/s", "2.00 h"), the same in every locale and
/// readable by `parse`; whole bytes below 1000 are exact ("12 B"); NaN is "-".
std::string format(Seconds time);
std::string format(Bytes size);
std::string format(BytesPerSecond bandwidth);
std::string format(Flops work);
std::string format(FlopsPerSecond rate);
std::string format(Hertz frequency);
std::string format(Watts power);
std::string format(Joules energy);
std::string format(Usd money);

}  // namespace wb
