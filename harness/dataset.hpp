#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/comm.hpp"
#include "core/storage.hpp"
#include "core/workload.hpp"
#include "harness/tokenizer.hpp"

namespace wb {

/// Token ids to be stored: the held-out ones are the last.
struct Tokens {
    std::string name, text_hash, tokenizer;
    std::int64_t vocabulary = 256;
    std::vector<std::int32_t> ids;
    std::int64_t held_out = 0;
};

/// A text in tokens; the last `held_out` of them (0 to 1) is kept from training.
Tokens tokenised(std::string name, std::string_view text, const Tokenizer& tokenizer, double held_out);

/// All of a file. Throws Error: not there, not readable, empty.
std::string read_text(const std::string& path);

/// Writes a dataset file. Throws Error (io).
void write_dataset(const std::string& path, const Tokens& tokens);

/// Where the tokens of a run come from.
class TokenSource {
public:
    virtual ~TokenSource() = default;
    virtual const Dataset& dataset() const = 0;
    /// Ids [first, first + to.size()) of all; training ones first. Collective.
    virtual void read(std::int64_t first, std::span<std::int32_t> to) = 0;
};

/// Tokens that every rank has in its memory; `how` says where they are from.
std::shared_ptr<TokenSource> tokens_in_memory(Tokens tokens, std::string how);

/// "builtin": the shipped text; else a dataset file, or any other file as a text, one token a byte. Collective. Throws
/// Error: no such file, empty, truncated, damaged.
std::shared_ptr<TokenSource> open_tokens(const std::string& data, const Files& files, Comm& comm);

}  // namespace wb
