#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace wb {

/// Turns text into token ids.
class Tokenizer {
public:
    virtual ~Tokenizer() = default;
    virtual std::vector<std::int32_t> encode(std::string_view text) const = 0;
    virtual std::int64_t vocabulary() const = 0;
    virtual std::string name() const = 0;  ///< with a hash of its tables: "bpe 0123..."
};

/// One token a byte.
std::unique_ptr<Tokenizer> byte_tokenizer();
/// Byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019) from the text of a Hugging Face
/// tokenizer.json; `place` names it in messages. Throws Error: no JSON, another model, another pre-tokeniser, a byte
/// without a token.
std::unique_ptr<Tokenizer> bpe_tokenizer(const std::string& json, const std::string& place);

/// The pieces that byte-pair encoding keeps apart, by GPT-2's rule
/// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ (letters and digits beyond ASCII as the C
/// library's UTF-8 locale knows them).
std::vector<std::string_view> gpt2_pieces(std::string_view text);

}  // namespace wb
