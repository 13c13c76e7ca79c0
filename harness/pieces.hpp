#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace wb {

/// How a text is cut into the pieces that byte-pair encoding keeps apart. Letters, numbers and spaces are Unicode's; a
/// byte that is no UTF-8 is a character of its own and none of them.
enum class PieceRule : std::uint8_t {
    gpt2,    ///< 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ (Radford et al. 2019)
    llama3,  ///< the pattern of tiktoken's cl100k_base, numbers in threes (Llama 3, GPT-4)
    qwen2    ///< the same, digit by digit (Qwen2, Qwen3)
};

/// The rule a tokenizer.json means by the regular expression it splits with; nothing for any other.
std::optional<PieceRule> rule_of(std::string_view regex);

std::vector<std::string_view> pieces(std::string_view text, PieceRule rule);

}  // namespace wb
