#include "core/crc32c.hpp"

#include <array>
#include <cstring>

#ifdef __SSE4_2__
#include <nmmintrin.h>
#endif

namespace wb {
namespace {

constexpr std::array<std::uint32_t, 256> byte_table() {
    constexpr std::uint32_t reflected_polynomial = 0x82F63B78u;
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t crc = byte;
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) ? reflected_polynomial : 0u);
        table[byte] = crc;
    }
    return table;
}

constexpr auto table = byte_table();

}  // namespace

std::uint32_t crc32c_portable(const void* data, std::size_t size, std::uint32_t previous) noexcept {
    const auto* bytes = static_cast<const unsigned char*>(data);
    std::uint32_t crc = ~previous;
    for (std::size_t i = 0; i < size; ++i) crc = table[(crc ^ bytes[i]) & 0xFFu] ^ (crc >> 8);
    return ~crc;
}

#ifdef __SSE4_2__
std::uint32_t crc32c(const void* data, std::size_t size, std::uint32_t previous) noexcept {
    const auto* bytes = static_cast<const unsigned char*>(data);
    std::uint64_t crc = ~previous;
    for (; size >= 8; size -= 8, bytes += 8) {
        std::uint64_t word;
        std::memcpy(&word, bytes, 8);
        crc = _mm_crc32_u64(crc, word);
    }
    auto crc32 = static_cast<std::uint32_t>(crc);
    for (; size > 0; --size, ++bytes) crc32 = _mm_crc32_u8(crc32, *bytes);
    return ~crc32;
}
#else
std::uint32_t crc32c(const void* data, std::size_t size, std::uint32_t previous) noexcept {
    return crc32c_portable(data, size, previous);
}
#endif

}  // namespace wb
