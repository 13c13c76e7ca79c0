#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/graph.hpp"
#include "core/measurement.hpp"
#include "core/params.hpp"
#include "core/workload.hpp"
#include "harness/dataset.hpp"
#include "harness/tokenizer.hpp"

namespace wb {

/// What a generation reads: the same for all sequences, or a part of a dataset for each.
struct Prompt {
    std::string name;  ///< without blanks: what stands in the key of a case
    std::int64_t sequences = 1;
    std::vector<std::int32_t> ids;               ///< of all sequences, one after the other
    std::shared_ptr<const Tokenizer> tokenizer;  ///< null: the model's is not known
    bool asked_as_text = false, bytes = false;   ///< in words; the model came with no tokeniser: one token a byte
};

/// The prompt that the parameter "prompt" of a generation names: "ids:464,3290", "file:" and a text or a dataset
/// (beside the experiment, or in the working folder), else the text itself, cut by the tokenizer.json beside the
/// model's config.json. Null where none is named. Throws Error: no such file, nothing in it, no number, not as long as
/// "seq".
std::shared_ptr<Prompt> read_prompt(const Params& params, const Files& files);

/// The parameters with the length of the prompt as "seq", and its name instead of itself.
Params with_prompt(Params params, const Prompt& prompt);

/// Throws Error where the model of `graph` has no embedding for a token of it, or a text was given and the model has
/// neither tokeniser nor a vocabulary of bytes.
void suit_prompt(Prompt& prompt, const Params& params, const Graph& graph);

/// As the data of a case.
std::shared_ptr<TokenSource> tokens_of(const Prompt& prompt);

/// Puts into words what `m` was asked and what its series of tokens say; nothing without a tokeniser.
void add_texts(const Prompt& prompt, Measurement& m);

}  // namespace wb
