#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>

#include "core/graph.hpp"
#include "core/hash.hpp"
#include "core/resize.hpp"

namespace wb {

/// What a composition of a prefill and of decode phases means: prompts are read and answered, token by token. The
/// composition has decode runs at the middle of the cache lengths they stand for; here every token has its own.
struct Generation {
    std::shared_ptr<const Graph> prefill, decode;  ///< as the composition has them, `decode` at any length
    StepShape prompt;                              ///< sequences, and tokens of each that the prefill reads
    std::int64_t tokens = 0;                       ///< of each sequence; the prefill yields the first

    /// The step that yields token `number` (1 and above): its cache holds the prompt and the tokens before.
    Graph step(std::int64_t number) const;
};

/// Nothing for a graph that is no such composition: one prefill, run once, then decode steps of the same sequences.
std::optional<Generation> generation_of(const Graph& composition);

/// The best of some candidates for a token, as ranks send it to each other: the lowest id among equals.
struct BestToken {
    double score = -std::numeric_limits<double>::infinity(), id = -1;

    constexpr void consider(double other, double of) {
        if (id < 0 ? other > score : other > score || (other == score && of < id)) score = other, id = of;
    }
};

/// How tokens are chosen from logits, the same on every backend and on any number of ranks.
struct TokenChoice {
    double temperature = 0;  ///< 0: the largest logit, the lowest id among equals
    std::uint64_t seed = 0;

    /// The id with the largest score is chosen: with a temperature, logit / temperature plus a Gumbel number of (seed,
    /// token, sequence, id), whose maximum is a draw from the softmax (Gumbel 1954).
    double score(double logit, std::int64_t token, std::int64_t sequence, std::int64_t id) const;
    /// Its parts, for devices: a key of token and sequence, and a number in (0, 1) of key and id.
    std::uint64_t key(std::int64_t token, std::int64_t sequence) const;
    static constexpr double uniform(std::uint64_t key, std::int64_t id) {
        return (static_cast<double>(mix64(key ^ mix64(static_cast<std::uint64_t>(id))) >> 11) + 0.5) * 0x1p-53;
    }
};

}  // namespace wb
