#pragma once

#include <bit>
#include <cstdint>

namespace wb::fabric {

/// One bit for each of 64 neighbouring PEs of a row.
using Plane = std::uint64_t;

inline constexpr int lanes = 64;

constexpr Plane bit_of(int lane) { return Plane{1} << lane; }
constexpr int first_lane(Plane p) { return std::countr_zero(p); }
/// Each lane from `a` where `choose` is 0, from `b` where it is 1.
constexpr Plane select(Plane choose, Plane a, Plane b) { return a ^ (choose & (a ^ b)); }

/// Calls f(lane) for every set bit.
template <class F>
void for_lanes(Plane p, F&& f) {
    for (; p != 0; p &= p - 1) f(first_lane(p));
}

/// 64 counters of N binary digits, a plane for each digit: all step at once.
template <int N>
struct Counters {
    Plane digit[N] = {};

    /// Adds 2^k where `m`. Returns the lanes that overflowed.
    Plane add(Plane m, int k = 0) {
        for (; m != 0 && k < N; ++k) {
            const Plane carry = digit[k] & m;
            digit[k] ^= m;
            m = carry;
        }
        return m;
    }
    /// Takes one where `m`. Returns the lanes that were zero.
    Plane subtract(Plane m) {
        for (int k = 0; m != 0 && k < N; ++k) {
            const Plane borrow = m & ~digit[k];
            digit[k] ^= m;
            m = borrow;
        }
        return m;
    }
    Plane positive() const {
        Plane any = 0;
        for (const Plane d : digit) any |= d;
        return any;
    }
    Plane equal(unsigned value) const {
        Plane same = ~Plane{0};
        for (int k = 0; k < N; ++k) same &= (value >> k & 1U) != 0 ? digit[k] : ~digit[k];
        return same;
    }
    std::uint32_t at(int lane) const {
        std::uint32_t value = 0;
        for (int k = 0; k < N; ++k) value |= static_cast<std::uint32_t>(digit[k] >> lane & 1U) << k;
        return value;
    }
    void set(int lane, std::uint32_t value) {
        for (int k = 0; k < N; ++k)
            digit[k] = (digit[k] & ~bit_of(lane)) | (static_cast<Plane>(value >> k & 1U) << lane);
    }
};

}  // namespace wb::fabric
