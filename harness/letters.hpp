#pragma once

namespace wb {

// What the patterns of tokenisers call \p{L}, \p{N} and \s, by Unicode code point.

bool is_letter(char32_t c);
bool is_number(char32_t c);
bool is_space(char32_t c);

/// A character that Unicode's canonical composition (NFC) leaves as it is in every text of such characters: those of
/// the commonest scripts that are neither combined nor combine (NFC_Quick_Check = Yes, and second in no composition).
bool is_composed(char32_t c);

}  // namespace wb
