#pragma once

#include <compare>
#include <type_traits>

namespace wb {

/// A physical amount in SI with its dimension in the type: integer exponents of second, byte, flop, joule and US
/// dollar. `Bytes{8} / BytesPerSecond{2}` is a Seconds; adding Bytes to Seconds does not compile.
template <int S, int B, int F, int J, int U>
class Quantity {
public:
    constexpr Quantity() = default;
    explicit constexpr Quantity(double si) : value_(si) {}

    /// The bare number, in products of s, B, flop, J and USD.
    constexpr double si() const { return value_; }

    constexpr auto operator<=>(const Quantity&) const = default;
    constexpr Quantity operator-() const { return Quantity(-value_); }
    constexpr Quantity& operator+=(Quantity o) {
        value_ += o.value_;
        return *this;
    }
    constexpr Quantity& operator-=(Quantity o) {
        value_ -= o.value_;
        return *this;
    }
    constexpr Quantity& operator*=(double k) {
        value_ *= k;
        return *this;
    }
    constexpr Quantity& operator/=(double k) {
        value_ /= k;
        return *this;
    }
    friend constexpr Quantity operator+(Quantity a, Quantity b) { return a += b; }
    friend constexpr Quantity operator-(Quantity a, Quantity b) { return a -= b; }
    friend constexpr Quantity operator*(Quantity a, double k) { return a *= k; }
    friend constexpr Quantity operator*(double k, Quantity a) { return a *= k; }
    friend constexpr Quantity operator/(Quantity a, double k) { return a /= k; }

private:
    double value_ = 0;
};

/// Dimensionless results decay to double.
template <int S, int B, int F, int J, int U>
using QuantityOrDouble =
    std::conditional_t<S == 0 && B == 0 && F == 0 && J == 0 && U == 0, double, Quantity<S, B, F, J, U>>;

template <int S1, int B1, int F1, int J1, int U1, int S2, int B2, int F2, int J2, int U2>
constexpr auto operator*(Quantity<S1, B1, F1, J1, U1> a, Quantity<S2, B2, F2, J2, U2> b) {
    return QuantityOrDouble<S1 + S2, B1 + B2, F1 + F2, J1 + J2, U1 + U2>(a.si() * b.si());
}
template <int S1, int B1, int F1, int J1, int U1, int S2, int B2, int F2, int J2, int U2>
constexpr auto operator/(Quantity<S1, B1, F1, J1, U1> a, Quantity<S2, B2, F2, J2, U2> b) {
    return QuantityOrDouble<S1 - S2, B1 - B2, F1 - F2, J1 - J2, U1 - U2>(a.si() / b.si());
}
template <int S, int B, int F, int J, int U>
constexpr auto operator/(double k, Quantity<S, B, F, J, U> q) {
    return QuantityOrDouble<-S, -B, -F, -J, -U>(k / q.si());
}

using Seconds = Quantity<1, 0, 0, 0, 0>;
using Hertz = Quantity<-1, 0, 0, 0, 0>;
using Bytes = Quantity<0, 1, 0, 0, 0>;
using BytesPerSecond = Quantity<-1, 1, 0, 0, 0>;
using Flops = Quantity<0, 0, 1, 0, 0>;
using FlopsPerSecond = Quantity<-1, 0, 1, 0, 0>;
using Joules = Quantity<0, 0, 0, 1, 0>;
using Watts = Quantity<-1, 0, 0, 1, 0>;
using Usd = Quantity<0, 0, 0, 0, 1>;

}  // namespace wb
