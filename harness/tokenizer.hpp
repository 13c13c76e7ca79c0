#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace wb {

/// Turns text into token ids.
class Tokenizer {
public:
    virtual ~Tokenizer() = default;
    virtual std::vector<std::int32_t> encode(std::string_view text) const = 0;
    /// The text of ids. Throws Error for one beyond the vocabulary.
    virtual std::string decode(std::span<const std::int32_t> ids) const = 0;
    virtual std::int64_t vocabulary() const = 0;
    virtual std::string name() const = 0;  ///< with a hash of its tables: "bpe 0123..."
};

/// One token a byte.
std::unique_ptr<Tokenizer> byte_tokenizer();
/// Byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019) from the text of a Hugging Face
/// tokenizer.json, split by any PieceRule; `place` names it in messages. Added tokens are found in the text, and what a
/// template of the post-processor puts around a single text is put around it. Throws Error: no JSON, another model,
/// pre-tokeniser, normaliser or post-processor, merges or ids that do not fit the vocabulary; encode() for a byte
/// without a token, and for characters that the normal form NFC might change where the file wants it.
std::unique_ptr<Tokenizer> bpe_tokenizer(const std::string& json, const std::string& place);

}  // namespace wb
