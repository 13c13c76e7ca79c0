#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

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
        a_ = std::bit_cast<Word>(h | 0x0101010101010101);
    }
    Stamp& operator+=(const Stamp& other) {
        for (std::size_t k = 0; k < lanes; ++k) a_[k] = static_cast<std::uint8_t>(a_[k] + other.a_[k]);
        return *this;
    }
    /// Bytes first to first + count - 1 of the stamped buffer.
    void write(std::byte* to, std::int64_t first, std::int64_t count) const {
        each_word(first, count, [&](std::int64_t at, const Word& word, std::size_t lane, std::size_t bytes) {
            std::memcpy(to + at, word.data() + lane, bytes);
            return true;
        });
    }
    bool matches(const std::byte* from, std::int64_t first, std::int64_t count) const {
        return each_word(first, count, [&](std::int64_t at, const Word& word, std::size_t lane, std::size_t bytes) {
            return std::memcmp(from + at, word.data() + lane, bytes) == 0;
        });
    }

private:
    static constexpr std::size_t lanes = 8;
    using Word = std::array<std::uint8_t, lanes>;

    /// The stamp word by word, the first and the last perhaps in part, until `take` says no.
    template <class Take>
    bool each_word(std::int64_t first, std::int64_t count, const Take& take) const {
        auto index = static_cast<std::uint64_t>(first) / lanes;
        auto lane = static_cast<std::size_t>(first) % lanes;
        for (std::int64_t at = 0; at < count; ++index, lane = 0) {
            Word word = std::bit_cast<Word>(mix64(index));
            for (std::size_t k = 0; k < lanes; ++k) word[k] = static_cast<std::uint8_t>(a_[k] * (word[k] | 1));
            const std::size_t bytes = std::min(lanes - lane, static_cast<std::size_t>(count - at));
            if (!take(at, word, lane, bytes)) return false;
            at += static_cast<std::int64_t>(bytes);
        }
        return true;
    }

    Word a_{};
};

}  // namespace wb::emulation
