#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/hash.hpp"

namespace wb::emulation {

/// Bytes that tell who brought them to what, at which place, and whose sums (modulo 256) are known in advance: byte i
/// is a[i mod 8] x b(i), all factors odd, `a` hashed from who and what, b(i) from i. What is added once too often or
/// too rarely, or put elsewhere, does not match; nor does it after any number of additions in any order.
class Stamp {
public:
    Stamp() = default;
    Stamp(std::uint64_t what, int who) {
        const std::uint64_t h = mix64(mix64(what) ^ mix64(static_cast<std::uint64_t>(who) + 1));
        for (unsigned k = 0; k < lanes; ++k) a_[k] = static_cast<std::uint8_t>(h >> (8 * k) | 1);
    }
    Stamp& operator+=(const Stamp& other) {
        for (unsigned k = 0; k < lanes; ++k) a_[k] = static_cast<std::uint8_t>(a_[k] + other.a_[k]);
        return *this;
    }
    /// Bytes first to first + count - 1 of the stamped buffer.
    void write(std::byte* to, std::int64_t first, std::int64_t count) const {
        for (std::int64_t i = 0; i < count; ++i) to[i] = at(first + i);
    }
    bool matches(const std::byte* from, std::int64_t first, std::int64_t count) const {
        for (std::int64_t i = 0; i < count; ++i)
            if (from[i] != at(first + i)) return false;
        return true;
    }

private:
    static constexpr unsigned lanes = 8;
    std::byte at(std::int64_t i) const {
        const auto word = static_cast<std::uint64_t>(i) / lanes, lane = static_cast<std::uint64_t>(i) % lanes;
        const auto b = static_cast<std::uint8_t>(mix64(word) >> (8 * lane) | 1);
        return static_cast<std::byte>(a_[lane] * b);
    }
    std::array<std::uint8_t, lanes> a_{};
};

}  // namespace wb::emulation
