#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/comm.hpp"
#include "core/storage.hpp"
#include "core/workload.hpp"

namespace wb {

/// Token ids to be stored: the held-out ones are the last.
struct Tokens {
    std::string name, text_hash, tokenizer;
    std::int64_t vocabulary = 256;
    std::vector<std::int32_t> ids;
    std::int64_t held_out = 0;
};

/// A text, one token a byte; the last `held_out` of it (0 to 1) is kept from training.
Tokens byte_tokens(std::string name, std::string_view text, double held_out);

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

/// "builtin": the shipped text; else a dataset file, or any other file as a text, one token a byte. Collective. Throws
/// Error: no such file, empty, truncated, damaged.
std::shared_ptr<TokenSource> open_tokens(const std::string& data, const Files& files, Comm& comm);

}  // namespace wb
