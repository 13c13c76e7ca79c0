#pragma once

namespace wb {

// What the patterns of tokenisers call \p{L}, \p{N} and \s, by Unicode code point.

bool is_letter(char32_t c);
bool is_number(char32_t c);
bool is_space(char32_t c);

}  // namespace wb
