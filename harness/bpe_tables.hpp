#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "harness/pieces.hpp"

namespace wb {

/// A token that stands in the text as it is, whatever is around it.
struct AddedToken {
    std::string content;
    std::int32_t id;
    bool takes_left, takes_right, whole_word;  ///< spaces beside it are part of it; no letter may be
};

/// What a tokenizer.json of byte-level byte-pair encoding says.
struct BpeTables {
    struct Merge {
        std::int32_t rank, id;
    };

    std::string place, name;  ///< of the file; with a hash of all that decides over ids: "bpe 0123..."
    PieceRule rule = PieceRule::gpt2;
    bool prefix = false;        ///< a text is given a space before it
    bool whole_pieces = false;  ///< a piece that is a token is that token, whatever the merges say
    bool composes = false;      ///< the text is brought into the normal form NFC first
    std::unordered_map<std::string, std::int32_t> ids;
    std::unordered_map<std::int32_t, std::string> tokens;  ///< as the file writes them
    std::vector<AddedToken> added;                         ///< the longest first
    std::unordered_map<std::uint64_t, Merge> merges;       ///< by pair()
    std::vector<std::int32_t> before, after;               ///< what a post-processor puts around a text
    std::int64_t size = 0;

    static std::uint64_t pair(std::int32_t left, std::int32_t right) {
        return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
    }
};

/// Reads the text of a tokenizer.json. Throws Error: no JSON, or anything that this reader would not do as the file
/// says.
BpeTables read_bpe(const std::string& json, const std::string& place);

}  // namespace wb
