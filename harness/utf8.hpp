#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace wb {

struct Character {
    std::optional<char32_t> code;  ///< nothing: a byte that is no UTF-8
    std::size_t bytes = 1;
};

/// The character at the start of a text that is not empty.
inline Character first_character(std::string_view text) {
    const auto byte = static_cast<unsigned char>(text[0]);
    const std::size_t bytes = byte < 0x80 ? 1 : byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 0;
    if (bytes == 0 || bytes > text.size()) return {};
    char32_t code = bytes == 1 ? byte : byte & (0xFFU >> (bytes + 1));
    for (std::size_t i = 1; i < bytes; ++i) {
        const auto next = static_cast<unsigned char>(text[i]);
        if ((next & 0xC0U) != 0x80U) return {};
        code = code << 6 | (next & 0x3FU);
    }
    return {code, bytes};
}

}  // namespace wb
