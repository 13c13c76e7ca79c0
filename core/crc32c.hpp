#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace wb {

/// CRC-32C (Castagnoli polynomial 0x1EDC6F41, reflected; RFC 3720 appendix B.4) of `size` bytes.
/// Chains: crc32c(b, n, crc32c(a, m)) is the checksum of a followed by b. Detects every error of one bit.
std::uint32_t crc32c(const void* data, std::size_t size, std::uint32_t previous = 0) noexcept;

inline std::uint32_t crc32c(std::string_view bytes, std::uint32_t previous = 0) noexcept {
    return crc32c(bytes.data(), bytes.size(), previous);
}

/// The same checksum from tables alone, whatever the processor: what tests compare the fast path with.
std::uint32_t crc32c_portable(const void* data, std::size_t size, std::uint32_t previous = 0) noexcept;

}  // namespace wb
