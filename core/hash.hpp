#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

namespace wb {

/// Finaliser of SplitMix64 (Steele, Lea, Flood 2014): every input bit reaches every output bit.
constexpr std::uint64_t mix64(std::uint64_t x) {
    x += 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

/// A stable 128-bit digest of a sequence of values; the same on every machine and in every release that keeps the
/// layout.
class Digest {
public:
    Digest& add(std::uint64_t v) {
        low_ = mix64(low_ ^ v);
        high_ = mix64(high_ + std::rotl(v, 32) + low_);
        return *this;
    }
    Digest& add(std::int64_t v) { return add(static_cast<std::uint64_t>(v)); }
    Digest& add(int v) { return add(static_cast<std::int64_t>(v)); }
    Digest& add(bool v) { return add(static_cast<std::uint64_t>(v)); }
    Digest& add(double v) { return add(std::bit_cast<std::uint64_t>(v == 0 ? 0.0 : v)); }
    Digest& add(std::string_view s) {
        add(static_cast<std::uint64_t>(s.size()));
        for (std::size_t i = 0; i < s.size(); i += 8) {
            std::uint64_t word = 0;
            for (std::size_t j = i; j < s.size() && j < i + 8; ++j)
                word |= static_cast<std::uint64_t>(static_cast<unsigned char>(s[j])) << (8 * (j - i));
            add(word);
        }
        return *this;
    }
    Digest& add(const char* s) { return add(std::string_view(s)); }

    std::uint64_t low() const { return low_; }
    std::string hex() const {
        static constexpr char digits[] = "0123456789abcdef";
        std::string out(32, '0');
        for (int i = 0; i < 16; ++i) {
            out[15 - i] = digits[(high_ >> (4 * i)) & 15];
            out[31 - i] = digits[(low_ >> (4 * i)) & 15];
        }
        return out;
    }

private:
    std::uint64_t low_ = 0x6a09e667f3bcc908ULL;
    std::uint64_t high_ = 0xbb67ae8584caa73bULL;
};

}  // namespace wb
